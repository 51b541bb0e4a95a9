"""What `make next` installs: every dependency by its name alone, without the bounds of pyproject.toml.

A marker stays: it says for which Pythons a package has releases. Only the standard library is needed.
"""

import re
import tomllib
from pathlib import Path


def requirements(text: str) -> list[str]:
    """The dependencies that a pyproject.toml lists, those of extras and of the group `dev` among them."""
    tree = tomllib.loads(text)
    project = tree["project"]
    listed = [*project["dependencies"], *tree["dependency-groups"]["dev"]]
    for extra in project["optional-dependencies"].values():
        listed += extra
    return sorted({re.sub(r"^([^<>=!~;]+)[^;]*", r"\1 ", each).strip() for each in listed})


if __name__ == "__main__":
    print("\n".join(requirements(Path("pyproject.toml").read_text("utf-8"))))  # noqa: T201 - a command of its own
