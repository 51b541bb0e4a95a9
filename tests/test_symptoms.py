"""docs/symptoms.md has a row for whatever the proxy can produce, and for nothing else."""

import re

import pytest

from oauth_proxy import endings, errors
from oauth_proxy.errors import ProxyError
from oauth_proxy.telemetry.metrics import REFRESHES
from oauth_proxy.telemetry.traffic import ABANDONED, ERRORS
from tests.support.causes import causes
from tests.support.lines import lines
from tests.support.places import ROOT
from tests.test_readme import named, table

SYMPTOMS = ROOT / "docs" / "symptoms.md"
FAILURES = {
    each.kind(): each
    for each in (getattr(errors, name) for name in errors.__all__)
    if issubclass(each, ProxyError)
}
HEADINGS = (
    "Nobody is signed in",
    "A login does not end in a session",
    "Signed in, and not let through",
    "Frame.io",
    "The tool",
    "The request itself",
)
NOT_OURS = {"Address already in use", "permission denied", "Path '", "' is not readable."}


def test_every_failure_has_a_row_with_its_status_and_the_title_of_its_page() -> None:
    rows = [row for heading in HEADINGS for row in table(SYMPTOMS, heading)]
    assert {named(name)[0]: page for name, page, *_ in rows} == {
        name: f"{failure.status} {failure.title}" for name, failure in FAILURES.items()
    }
    assert len(rows) == len(FAILURES)


def test_every_cause_that_the_code_can_log_is_explained_and_no_other() -> None:
    below = SYMPTOMS.read_text("utf-8").partition("\n## Causes\n")[2].partition("\n## ")[0]
    firsts = re.findall(r"^\| (`.*?`) \|", below, re.MULTILINE)
    shown = [cause for cell in firsts for cause in named(cell)]
    told = {cause for row in table(SYMPTOMS, "Statuses that only the log has") for cause in named(row[1])}
    assert set(shown) | told == causes()
    assert len(shown) == len(set(shown))


def test_the_codes_with_which_websockets_are_closed() -> None:
    rows = [(row[0], *named(row[1])) for row in table(SYMPTOMS, "WebSockets")[:2]]
    assert rows == [(str(each.code), each.reason) for each in (endings.STOPPING, endings.SESSION_OVER)]


def test_every_warning_that_is_about_no_request_is_explained_and_none_that_is_not_there() -> None:
    rows = table(SYMPTOMS, "Lines of the log that are about no request")
    shown = [line for row in rows for line in named(row[0])]
    assert lines() <= set(shown)
    assert len(shown) == len(set(shown))
    for line in set(shown) - lines():
        assert in_the_code(line), line


def test_what_a_start_fails_with_is_said_as_the_code_says_it() -> None:
    for row in table(SYMPTOMS, "It does not start"):
        for line in named(row[0]):
            assert in_the_code(line), line


def in_the_code(line: str) -> bool:
    """Whether all its words are there, whatever stands for each `…`; some are the system's or click's."""
    code = "".join(path.read_text("utf-8") for path in (ROOT / "oauth_proxy").rglob("*.py"))
    words = [part.strip() for part in re.split("…|: ", line)]
    return all(part in code for part in words if len(part) > 1 and part not in NOT_OURS)


@pytest.mark.parametrize("template", ["sign_in", "sign_out", "signed_in", "signed_out"])
def test_pages_that_are_no_failure(template: str) -> None:
    source = (ROOT / f"oauth_proxy/pages/templates/{template}.html").read_text("utf-8")
    titles = [row[0] for row in table(SYMPTOMS, "Pages that are no failure")]
    assert re.findall(r'<h1>\{\{ _\("(.*)"\) \}\}</h1>', source)[0] in titles


def test_what_metrics_count_besides() -> None:
    values = {named(row[0])[0]: set(named(row[1])) for row in table(SYMPTOMS, "What metrics count besides")}
    assert values["oauth_proxy_refreshes_total"] == set(REFRESHES)
    assert values["oauth_proxy_upstream_errors_total"] == set(ERRORS)
    assert values["oauth_proxy_upstream_abandoned_total"] == set(ABANDONED)
