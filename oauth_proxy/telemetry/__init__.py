"""Telemetry for operators: logs (text or JSON) and metrics."""

from oauth_proxy.telemetry.access_log import AccessLog
from oauth_proxy.telemetry.distinct import distinct, drawn
from oauth_proxy.telemetry.logs import JsonFormatter, StormFilter, TextFormatter, configure_logging, printable
from oauth_proxy.telemetry.merging import exposition, lasting, merged, snapshot
from oauth_proxy.telemetry.metrics import Metrics, process_metrics
from oauth_proxy.telemetry.traffic import Traffic

__all__ = [
    "AccessLog",
    "JsonFormatter",
    "Metrics",
    "StormFilter",
    "TextFormatter",
    "Traffic",
    "configure_logging",
    "distinct",
    "drawn",
    "exposition",
    "lasting",
    "merged",
    "printable",
    "process_metrics",
    "snapshot",
]
