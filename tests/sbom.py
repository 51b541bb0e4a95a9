"""`make sbom`: completes what cyclonedx-py writes of an environment: our version, and the hashes of the lock.

The environment is one in which nothing is installed but the lock. Which of a package's files a machine installs
depends on its processor and its Python, so all of them are named, as references to its distribution.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def hashes(lock: str) -> dict[str, list[str]]:
    """SHA-256 of every file of `name==version` that a lock file admits."""
    found: dict[str, list[str]] = {}
    for entry in lock.replace(" \\\n", "").splitlines():
        if pinned := re.match(r"([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?==([^\s;]+)", entry):
            found[f"{normal(pinned[1])}=={pinned[2]}"] = re.findall(r"--hash=sha256:([0-9a-f]{64})", entry)
    return found


def normal(name: str) -> str:
    """The name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def completed(document: Mapping[str, Any], lock: str, version: str) -> dict[str, Any]:
    """The SBOM with our version, and with hashes. Raises ValueError if a package in it is not in the lock."""
    known = hashes(lock)
    root = {**document["metadata"]["component"], "version": version}
    root["purl"] = f"pkg:pypi/{root['name']}@{version}"
    components = []
    for each in document["components"]:
        pinned = f"{normal(each['name'])}=={each['version']}"
        if pinned not in known:
            raise ValueError(f"{pinned} is installed and not in the lock")
        files = [{"alg": "SHA-256", "content": content} for content in known[pinned]]
        told = {"type": "distribution", "url": each["purl"], "comment": "any of these files", "hashes": files}
        components.append({**each, "externalReferences": [*each.get("externalReferences", ()), told]})
    return {**document, "metadata": {**document["metadata"], "component": root}, "components": components}


def main(words: Sequence[str]) -> None:
    """Complete the file in its place, and say what is in it."""
    path, lock, version = Path(words[0]), Path(words[1]), words[2]
    document = completed(json.loads(path.read_text("utf-8")), lock.read_text("utf-8"), version)
    path.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    print(f"{path}: frameio-oauth-proxy {version} and {len(document['components'])} packages")


if __name__ == "__main__":
    main(sys.argv[1:])
