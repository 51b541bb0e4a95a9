"""The languages of the pages: gettext catalogues, ours and those that operators bring.

The law: a visitor gets a language that they asked for, or English; a text that is not translated is in English.
"""

import gettext
import struct
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from oauth_proxy.errors import ConfigurationError

DOMAIN = "oauth_proxy"
DIRECTION = "default:LTR"
"""A text of every catalogue. Its translation is `default:RTL` where people write from right to left."""
_LONGEST_FIELD = 1000
_MOST_RANGES = 20


class Language(NamedTuple):
    """A language, by its tag (RFC 5646), and its texts."""

    tag: str
    texts: gettext.NullTranslations

    def say(self, text: str) -> str:
        """The text in this language."""
        return self.texts.gettext(text)

    @property
    def direction(self) -> str:
        """How it is written: `ltr` or `rtl`, as HTML's dir attribute has it."""
        return "rtl" if self.say(DIRECTION) == "default:RTL" else "ltr"


ENGLISH = Language("en", gettext.NullTranslations())


class Untranslated(gettext.NullTranslations):
    """What a catalogue falls back to; `texts` are those that it had no translation for."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def gettext(self, message: str) -> str:
        """The text as it is, in English."""
        self.found.add(message)
        return message


def languages(folder: Path | None) -> Iterator[tuple[Language, bool]]:
    """All languages but English: ours, and those in `folder`, as XX/LC_MESSAGES/oauth_proxy.mo.

    With each, whether it is from the folder. A catalogue there for one of our languages goes before ours. Raises
    ConfigurationError for a file that is no catalogue.
    """
    ours = {tag: gettext.GNUTranslations(BytesIO(content)) for tag, content in _OURS.items()}
    theirs = dict(_catalogues(folder)) if folder is not None else {}
    for tag in sorted(ours.keys() | theirs.keys()):
        first, *others = [each[tag] for each in (theirs, ours) if tag in each]
        for other in others:
            first.add_fallback(other)
        yield Language(tag, first), tag in theirs


def _found(folder: Path) -> Iterator[tuple[str, Path]]:
    """The catalogues in a folder, by the tags of their languages."""
    for path in sorted(folder.glob(f"*/LC_MESSAGES/{DOMAIN}.mo")):
        yield path.parts[-3].replace("_", "-"), path


_OURS = {tag: path.read_bytes() for tag, path in _found(Path(str(files("oauth_proxy.pages") / "locales")))}
"""Read while the package is imported, as its templates."""


def _catalogues(folder: Path) -> Iterator[tuple[str, gettext.NullTranslations]]:
    for tag, path in _found(folder):
        try:
            with path.open("rb") as file:
                yield tag, gettext.GNUTranslations(file)
        except (OSError, ValueError, LookupError, struct.error) as error:  # it was never meant for other files
            raise ConfigurationError([f"{path}: this is no gettext catalogue: {error}"]) from None


def preferred(fields: Sequence[bytes], tags: Iterable[str]) -> str:
    """The tag of the language to answer in, of `tags` and `en`, by the values of Accept-Language.

    A range fits a language by its whole tag, or by its beginning (RFC 9110 12.5.4; RFC 4647 3.4, lookup): `de-AT`
    gets `de`.
    """
    offered = {tag.lower(): tag for tag in ("en", *tags)}
    for wanted in _ranges(b",".join(fields)[:_LONGEST_FIELD].decode("latin-1").lower()):
        subtags = wanted.split("-")
        for length in range(len(subtags), 0, -1):
            if (tag := offered.get("-".join(subtags[:length]))) is not None:
                return tag
    return "en"


def _ranges(field: str) -> Iterable[str]:
    """The language ranges that are wanted, the most wanted first."""
    weighed = []
    for item in field.split(",")[:_MOST_RANGES]:
        wanted, _, weight = item.partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        if 0 < quality <= 1:
            weighed.append((-quality, wanted.strip()))
    return [wanted for _, wanted in sorted(weighed, key=lambda each: each[0])]
