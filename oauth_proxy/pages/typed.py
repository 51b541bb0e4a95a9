"""What typed.html has of a form: hidden fields that send the same bytes again, and files to be chosen again.

The law: every value is in a hidden field, and the page shows names only: a password may be among the values.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any, Literal, NamedTuple

from oauth_proxy.forms import Entry, Form, Kept

MOST_NAMES = 20
"""Names that the page shows."""
LONGEST_NAME = 60
"""Characters of each."""


class Field(NamedTuple):
    """One element of the page's form.

    A browser that submits a hidden field named _charset_ writes the charset into it, but not into a text field,
    which the page hides too. `files` are the names of those to be chosen again: several where there were several.
    """

    kind: Literal["hidden", "text", "file"]
    name: str
    value: str = ""
    files: tuple[str, ...] = ()


class Shown(NamedTuple):
    """What the template needs of a form. `names` are those that it shows, and `more` that it does not show."""

    action: str
    enctype: str
    charset: str
    fields: list[Field]
    names: list[str]
    more: int
    has_files: bool


def shown(form: Form, action: str) -> Shown:
    """The form as the page gives it back; it leads to `action`."""
    fields = list(_fields(form))
    names = list(dict.fromkeys(field.name for field in fields if field.kind != "file"))
    return Shown(
        action,
        form.enctype,
        form.charset,
        fields,
        [_short(name) for name in names[:MOST_NAMES]],
        max(0, len(names) - MOST_NAMES),
        has_files=any(field.files for field in fields),
    )


def samples(text: str, url: str) -> Iterator[dict[str, Any]]:
    """What the page may get, with these wherever it may have a text or an address."""
    for form, may_have_it in product((_sample_form(text), None), (True, False)):
        kept = Kept(form, url, may_have_it)
        yield {"email": text, "name": text, "login_url": url, "framed": may_have_it, "kept": kept}
        yield {"email": None, "name": None, "login_url": None, "framed": may_have_it, "kept": kept}


def _sample_form(text: str) -> Form:
    """A form with this text wherever it may have one, and with more names than are shown."""
    value = text.encode()
    entries = [
        Entry(value, value),
        Entry(b"_charset_", value),
        Entry(value, filename=value),
        Entry(b"none", filename=b""),
    ]
    return Form("multipart/form-data", entries + [Entry(b"%d" % number, value) for number in range(MOST_NAMES)])


def _fields(form: Form) -> Iterator[Field]:
    files: Field | None = None
    for name, value, filename in form.decoded():
        if files is not None and (filename is None or name != files.name):
            yield files
            files = None
        if filename is None:
            yield Field("text" if name.lower() == "_charset_" else "hidden", name, value)
        else:
            chosen = (_short(filename),) if filename else ()
            files = Field("file", name, files=(files.files if files else ()) + chosen)
    if files is not None:
        yield files


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"
