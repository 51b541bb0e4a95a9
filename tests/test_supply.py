"""What comes with the proxy: licences are listed, the SBOM is complete, and an audit says if it was none."""

import json
import re
from typing import Any

import pytest

from tests import audit, licences, sbom
from tests.support.places import ROOT

LOCK = """\
jinja2==3.1.6 \\
    --hash=sha256:{} \\
    --hash=sha256:{}
redis[hiredis]==8.1.0 ; python_version > '3' \\
    --hash=sha256:{}
""".format("a" * 64, "b" * 64, "c" * 64)
FOUND: dict[str, Any] = {
    "bomFormat": "CycloneDX",
    "metadata": {"component": {"name": "frameio-oauth-proxy", "type": "application"}},
    "components": [
        {"name": "Jinja2", "version": "3.1.6", "purl": "pkg:pypi/jinja2@3.1.6"},
        {
            "name": "redis",
            "version": "8.1.0",
            "purl": "pkg:pypi/redis@8.1.0",
            "externalReferences": [{"url": "u"}],
        },
    ],
}


def test_the_page_of_licences_is_current() -> None:
    assert licences.PAGE.read_text("utf-8") == licences.page(), "`make licences` writes it"


def test_every_licence_is_one_that_somebody_has_judged() -> None:
    for name, of in licences.rows():
        assert set(re.split(r" (?:AND|OR) |[()]", of)) <= licences.KNOWN, name


def test_the_sbom_names_our_version_and_every_file_that_the_lock_admits() -> None:
    document = sbom.completed(FOUND, LOCK, "1.2.3")
    root = document["metadata"]["component"]
    assert (root["version"], root["purl"]) == ("1.2.3", "pkg:pypi/frameio-oauth-proxy@1.2.3")
    jinja, redis = document["components"]
    assert [each["content"][0] for each in jinja["externalReferences"][-1]["hashes"]] == ["a", "b"]
    assert [each.get("hashes") is None for each in redis["externalReferences"]] == [True, False]


def test_a_package_that_is_not_locked_is_in_no_sbom() -> None:
    stray = {"name": "stray", "version": "1", "purl": "pkg:pypi/stray@1"}
    with pytest.raises(ValueError, match="stray==1 is installed and not in the lock"):
        sbom.completed({**FOUND, "components": [stray]}, LOCK, "1.2.3")


def test_the_lock_is_read_whole() -> None:
    text = (ROOT / "requirements.txt").read_text("utf-8")
    assert [each.partition("==")[0] for each in sbom.hashes(text)] == licences.locked(text)
    assert sum(map(len, sbom.hashes(text).values())) == text.count("--hash=sha256:")


def report(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


GOOD = {"name": "click", "version": "8.5.1", "vulns": []}
BAD = {"name": "jinja2", "version": "2.0", "vulns": [{"id": "CVE-1", "fix_versions": ["3.1"], "aliases": []}]}
UNKNOWN = {"name": "idna", "skip_reason": "Dependency not found on PyPI and could not be audited: idna (3.20)"}


@pytest.mark.parametrize(
    ("told", "complaint", "sentence", "failed"),
    [
        (report(GOOD), "", "x: no known vulnerability in 1 packages", False),
        (report(GOOD, BAD), "", "x: jinja2 2.0: CVE-1, fixed in 3.1", True),
        (report(UNKNOWN, BAD), "", "x: jinja2 2.0: CVE-1, fixed in 3.1", True),
        (report(GOOD, UNKNOWN), "", "x: NOT AUDITED, the index has no data here on 1 of 2 packages", False),
        (report(), "", "x: NOT AUDITED, the index has no data here on 0 of 0 packages", False),
        ("", "Traceback\nNo route\n", "x: NOT AUDITED, the data cannot be reached: No route", False),
    ],
)
def test_an_audit_says_what_is_wrong_and_whether_anybody_looked(
    told: str, complaint: str, sentence: str, failed: bool
) -> None:
    assert audit.verdict("x", told, complaint) == (sentence, failed)
