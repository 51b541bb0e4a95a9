"""`make licences`: the page docs/licences.md, made anew from what the locked packages say of themselves."""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/licences.md"
NOT_HERE = {"async-timeout": "Apache-2.0"}
"""What only Pythons before 3.11.3 install, and so cannot be asked here."""
KNOWN = {
    *("Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0", "Python-2.0"),
}
"""Licences that ask no more of who uses the proxy than to keep their texts, which stay in the packages' metadata.

MPL-2.0 also asks that a changed file of that package stays open; we change none. A person judges any other one.
"""
_TOLD = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
_HEAD = """# Licences

The proxy itself is under the MIT [license](../LICENSE). With it come these packages, those of
[requirements.txt](../requirements.txt), each under the licence that it declares. Their texts lie in each package's
metadata, in the image too. `make licences` writes this page; a test compares it with what is installed.

| Package | Licence |
|---|---|
"""


def locked(text: str) -> list[str]:
    """The names of the packages in a lock file."""
    return re.findall(r"^([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?==", text, re.MULTILINE)


def licence(name: str) -> str:
    """What a package declares, as SPDX writes it. Raises PackageNotFoundError if it is not installed."""
    told = metadata(name)
    if "License-Expression" in told:
        return told["License-Expression"]
    classifiers = [
        each.split(" :: ")[-1] for each in told.get_all("Classifier", []) if each.startswith("License ::")
    ]
    found = {_TOLD.get(each, each) for each in classifiers}
    short: str
    [short] = told.get_all("License", [])[:1] or [""]
    if re.fullmatch(r"[\w.+-]{2,20}", short) and (not found or found <= {"BSD"}):
        return short  # more exact than a classifier
    return " AND ".join(sorted(found))


def rows() -> Iterator[tuple[str, str]]:
    """Every package of the lock, and its licence."""
    for name in locked((ROOT / "requirements.txt").read_text("utf-8")):
        try:
            yield name, licence(name)
        except PackageNotFoundError:
            yield name, NOT_HERE[name]


def page() -> str:
    """The page as it should be."""
    return _HEAD + "".join(f"| `{name}` | {of} |\n" for name, of in rows())


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
