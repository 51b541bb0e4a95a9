"""`make catalogues`: what the pages say, collected for translators, and compiled for the proxy.

It writes oauth_proxy.pot, brings the .po files of all languages up to date, and compiles them to .mo files. A text
that is new or has changed is then without a translation in the .po files: write one, and run it again.
"""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from oauth_proxy.pages.languages import DIRECTION, DOMAIN
from oauth_proxy.pages.words import texts

PAGES = Path(__file__).parent.parent / "oauth_proxy" / "pages"
LOCALES = PAGES / "locales"
TEMPLATE = LOCALES / f"{DOMAIN}.pot"
_WIDTH = 110


class Quiet(Catalog):
    """A catalogue whose header says what it must, and nothing that changes by itself or names somebody."""

    @property  # type: ignore[misc] # Babel's own has a setter, too
    def mime_headers(self) -> list[tuple[str, str]]:
        """The lines of the header."""
        language = [("Language", str(self.locale))] if self.locale else []
        return [*language, ("MIME-Version", "1.0"), ("Content-Type", "text/plain; charset=utf-8")]


def collected(locale: str | None = None) -> Quiet:
    """Every text of the pages, with the templates that it stands in, and without translations."""
    catalog = Quiet(locale, DOMAIN, fuzzy=False, header_comment="# Texts of the proxy's pages.")
    catalog.add(DIRECTION, auto_comments=["Translate to default:RTL if people write from right to left."])
    for text in sorted(texts()):
        catalog.add(text)
    found = extract_from_dir(PAGES / "templates", [("**.html", "jinja2")], {"**.html": {"silent": "false"}})
    for name, _, message, comments, _ in sorted(found, key=lambda each: (each[0], each[1])):
        catalog.add(message, None, [(name, 0)], auto_comments=comments)
    return catalog


def languages() -> Iterator[tuple[str, Path]]:
    """The languages that there are, and their .po files."""
    for path in sorted(LOCALES.glob(f"*/LC_MESSAGES/{DOMAIN}.po")):
        yield path.parts[-3], path


def read(path: Path, locale: str) -> Catalog:
    """The catalogue in a .po file."""
    with path.open("rb") as file:
        return read_po(file, locale=locale, domain=DOMAIN, abort_invalid=True)


def as_po(catalog: Catalog) -> bytes:
    """The text of a .po file."""
    file = io.BytesIO()
    write_po(file, catalog, width=_WIDTH, sort_output=True, include_lineno=False)
    return file.getvalue()


def as_mo(catalog: Catalog) -> bytes:
    """The compiled catalogue."""
    file = io.BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


def missing(catalog: Catalog) -> list[str]:
    """The texts without a translation, and those that a person has not confirmed."""
    return [str(message.id) for message in catalog if message.id and (not message.string or message.fuzzy)]


def updated(path: Path, locale: str) -> Quiet:
    """The texts of today, with the translations that a .po file has of them."""
    before, catalog = read(path, locale), collected(locale)
    for message in catalog:
        if message.id and (known := before.get(message.id)) is not None:
            message.string = known.string
    return catalog


def main() -> int:
    """Write all files; 1 if a text has no translation."""
    TEMPLATE.write_bytes(as_po(collected()))
    lacking = 0
    for locale, path in languages():
        catalog = updated(path, locale)
        path.write_bytes(as_po(catalog))
        path.with_suffix(".mo").write_bytes(as_mo(catalog))
        for text in missing(catalog):
            lacking += 1
            print(f"{path}: no translation of {text!r}", file=sys.stderr)  # noqa: T201 - a command of its own
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
