"""Telemetry for operators: logs (text or JSON) and metrics."""

from oauth_proxy.telemetry.access_log import AccessLog, facts
from oauth_proxy.telemetry.audit import LOST, SILENT, Audit, AuditLine, By, Event, audit_for
from oauth_proxy.telemetry.counts import LATENCIES
from oauth_proxy.telemetry.distinct import distinct, drawn
from oauth_proxy.telemetry.logs import (
    LEVELS,
    JsonFormatter,
    StormFilter,
    TextFormatter,
    configure_logging,
    level_now,
    printable,
    set_level,
)
from oauth_proxy.telemetry.merging import Written, exposition, lasting, merged, snapshot
from oauth_proxy.telemetry.metrics import CALLS, Metrics, process_metrics
from oauth_proxy.telemetry.recorder import Recorder
from oauth_proxy.telemetry.traffic import Traffic

__all__ = [
    "CALLS",
    "LATENCIES",
    "LEVELS",
    "LOST",
    "SILENT",
    "AccessLog",
    "Audit",
    "AuditLine",
    "By",
    "Event",
    "JsonFormatter",
    "Metrics",
    "Recorder",
    "StormFilter",
    "TextFormatter",
    "Traffic",
    "Written",
    "audit_for",
    "configure_logging",
    "distinct",
    "drawn",
    "exposition",
    "facts",
    "lasting",
    "level_now",
    "merged",
    "printable",
    "process_metrics",
    "set_level",
    "snapshot",
]
