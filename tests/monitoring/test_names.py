"""Whatever dashboard, alerts and manual name exists; test_prometheus.py asks a real Prometheus for the rest."""

import re

from tests.support.browser import Visitor
from tests.support.metrics import exposed, show_optional
from tests.support.monitoring import alerts, expressions, panels, selected
from tests.support.places import ROOT
from tests.support.proxy import Stage
from tests.test_readme import OPERATING, blocks, named, table

OF_THE_PARENT = {
    "oauth_proxy_workers",
    "oauth_proxy_worker_restarts_total",
    "oauth_proxy_generation",
    "oauth_proxy_last_reload_successful",
}
"""A stage has none; tests/test_readme.py knows them."""


async def test_every_metric_and_label_of_dashboard_alerts_and_manual_exists(
    stage: Stage, visitor: Visitor
) -> None:
    await visitor.login(f"{stage.url}/echo")
    show_optional(stage)
    samples = re.findall(r"^(\w+)(?:\{(.*)\})? ", await exposed(stage.admin_url), re.MULTILINE)
    labels = {name: set(re.findall(r'(\w+)="', rest)) for name, rest in samples}
    labels |= {name: set() for name in OF_THE_PARENT}
    used = [(where, *each) for where, expression in expressions().items() for each in selected(expression)]
    asked = "".join(blocks(OPERATING, "promql")).splitlines()
    used += [(OPERATING.name, *each) for expression in asked for each in selected(expression)]
    assert len(asked) > 3
    assert len(used) > 60
    for where, name, needed in used:
        assert needed <= labels[name], where
    for expression in expressions().values():
        for pattern in re.findall('__name__=~"([^"]*)"', expression):
            assert [name for name in labels if re.fullmatch(pattern, name)], pattern
    for first, *rest in table(OPERATING, "Metrics"):
        second = rest[0] if rest and not rest[0].startswith("|") else ""  # an empty cell
        for name in {named(first)[0], f"{named(first)[0]}_count"} & labels.keys() - OF_THE_PARENT:
            assert labels[name] == set(named(second)), name


async def test_every_label_value_that_an_alert_waits_for_can_come(stage: Stage) -> None:
    """A misspelled reason would never fire. All that alerts name are there from the start, as 0."""
    text = await exposed(stage.admin_url)
    named_values = [
        pair for alert in alerts() for pair in re.findall(r'(\w+)="([\w]+)"', alert["expr"]) if pair[0] != "job"
    ]
    assert len(named_values) > 6
    for name, value in named_values:
        assert f'{name}="{value}"' in text, (name, value)


def test_every_alert_says_what_it_means_and_the_manual_what_to_do() -> None:
    rules = alerts()
    documented = {named(row[0])[0]: row for row in table(OPERATING, "Alerts")}
    assert [alert["alert"] for alert in rules] == list(documented)
    for alert in rules:
        assert alert["alert"].startswith("OAuthProxy")
        assert alert["annotations"].keys() == {"summary", "description"}, alert["alert"]
        assert alert["labels"] == {"severity": named(documented[alert["alert"]][1])[0]}


def test_every_panel_has_a_title_of_its_own_a_sentence_and_a_unit() -> None:
    found = panels()
    assert len({panel["title"] for panel in found}) == len({panel["id"] for panel in found}) == len(found) > 20
    for panel in found:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in found
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells), "no panel covers another"
    assert max(x for x, _ in cells) < 24


def test_the_files_are_shown_in_the_manual() -> None:
    text = OPERATING.read_text("utf-8")
    for name in ("prometheus.yaml", "prometheus-alerts.yaml", "grafana-dashboard.json"):
        assert (ROOT / "config" / name).is_file()
        assert f"../config/{name}" in text
