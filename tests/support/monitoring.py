"""The dashboard and the alerts of config/, and every expression of PromQL in them."""

import json
import re
from typing import Any

import yaml

from tests.support.places import ROOT

ALERTS = ROOT / "config" / "prometheus-alerts.yaml"
DASHBOARD = ROOT / "config" / "grafana-dashboard.json"
_FILLED_IN = {"$__rate_interval": "1m", "$job": ".*", "$instance": ".*", "$upstream": ".*"}


def alerts() -> list[dict[str, Any]]:
    """Every alert."""
    [group] = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def panels() -> list[dict[str, Any]]:
    """Every panel of the dashboard that shows something."""
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def expressions() -> dict[str, str]:
    """All expressions, by the alert, or panel and letter, that they stand in; variables are filled in."""
    found = {f"{panel['title']} {each['refId']}": each["expr"] for panel in panels() for each in panel["targets"]}
    for name, value in _FILLED_IN.items():
        found = {where: expression.replace(name, value) for where, expression in found.items()}
    return found | {alert["alert"]: alert["expr"] for alert in alerts()}


def selected(expression: str) -> list[tuple[str, set[str]]]:
    """The metrics that an expression selects, each with the labels that it needs, but for Prometheus's own."""
    selectors = re.findall(r"\b((?:oauth_proxy|process)_[a-z0-9_]+)(?:\{([^}]*)\})?", expression)
    return [(name, set(re.findall(r"(\w+)\s*[=!]", labels)) - {"job", "instance"}) for name, labels in selectors]
