"""What the people who run it get to see: log lines, text or JSON, and metrics.

The law: no query string, header value or token is logged; control characters are escaped in one place; a
storm of equal complaints becomes one line that counts them.
"""

import json
import logging
import re
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import accumulate
from typing import Literal, TextIO, cast

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from oauth_proxy.requests import Request

access_log = logging.getLogger("oauth_proxy.access")

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BURST, _PER_SECOND = 10, 1.0
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def printable(text: str) -> str:
    """The text with every control character spelled out, so that a log line stays one line."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in record.__dict__.items() if key not in _STANDARD and value is not None}


def _exception(record: logging.LogRecord) -> str | None:
    return logging.Formatter().formatException(record.exc_info) if record.exc_info else None


class TextFormatter(logging.Formatter):
    """`time LEVEL logger: message key=value …`, always one line but for a traceback of our own fault."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        fields = "".join(f" {key}={printable(str(value))}" for key, value in _fields(record).items())
        name = record.name.removeprefix("oauth_proxy.")
        line = f"{_time(record)} {record.levelname:<7} {name}: {printable(record.getMessage())}{fields}"
        trace = _exception(record)
        return f"{line}\n{trace}" if trace else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the record's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if trace := _exception(record):
            line["exception"] = trace
        return json.dumps(line, default=str)


class StormFilter(logging.Filter):
    """Lets ten warnings of one kind through, then one a second, which says how many it stands for.

    A kind is the logger, the message before its arguments and the failure's name, so a stranger cannot make
    new kinds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: dict[tuple[str, str, str], tuple[float, float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if record.levelno < logging.WARNING:
            return True
        kind = (record.name, str(record.msg), str(record.__dict__.get("failure")))
        now = self._clock()
        allowance, then, held_back = self._kinds.get(kind, (float(_BURST), now, 0))
        allowance = min(float(_BURST), allowance + (now - then) * _PER_SECOND)
        if allowance < 1:
            self._kinds[kind] = (allowance, now, held_back + 1)
            return False
        self._kinds[kind] = (allowance - 1, now, 0)
        if held_back:
            record.like_this_held_back = held_back
        return True


def configure_logging(form: Literal["text", "json"], stream: TextIO) -> None:
    """Send every logger's lines to `stream` in one form."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(StormFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # Its warnings are about what strangers send; our own lines tell those in one line each.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)


class Answered(Collector):
    """The answers so far, and how long each took. Plain numbers: one thread counts, and scrapes."""

    BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
    """Seconds; each histogram bucket holds what took at most as long."""

    def __init__(self) -> None:
        self._requests: dict[tuple[int, str], int] = {}
        self._took = [0] * (len(self.BOUNDS) + 1)
        self._seconds = 0.0

    def count(self, status: int, by: str, seconds: float) -> None:
        """One more, `by` the tool or the proxy."""
        self._requests[status, by] = self._requests.get((status, by), 0) + 1
        self._took[bisect_left(self.BOUNDS, seconds)] += 1
        self._seconds += seconds

    def collect(self) -> Iterator[Metric]:
        """Both families, as Prometheus reads them."""
        requests = CounterMetricFamily("oauth_proxy_requests", "Requests answered.", labels=("code", "by"))
        for (status, by), number in self._requests.items():
            requests.add_metric((str(status), by), number)
        yield requests
        bounds = (*map(floatToGoString, self.BOUNDS), "+Inf")
        yield HistogramMetricFamily(
            "oauth_proxy_request_duration_seconds",
            "Time from a request's head to the end of its answer.",
            buckets=list(zip(bounds, accumulate(self._took), strict=True)),
            sum_value=self._seconds,
        )


class Metrics:
    """What is counted, in Prometheus's terms. One registry for each proxy, so that two do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.answered = Answered()
        self.registry.register(self.answered)
        self.logins = Counter(
            "oauth_proxy_logins", "Logins, by how they ended.", ["result"], registry=self.registry
        )
        self.provider_calls = Counter(
            "oauth_proxy_provider_calls",
            "Calls to Frame.io, by what was asked and how it ended.",
            ["call", "result"],
            registry=self.registry,
        )
        self.sign_outs = Counter("oauth_proxy_sign_outs", "Sessions ended by visitors.", registry=self.registry)

    def show_redis(self, is_up: Callable[[], bool]) -> None:
        """From now on, tell whether replicas share what they know."""
        gauge = Gauge("oauth_proxy_redis_up", "Whether Redis answers, 1 or 0.", registry=self.registry)
        gauge.set_function(is_up)


def access_logger(metrics: Metrics, *, write: bool) -> type[AbstractAccessLogger]:
    """The class aiohttp calls after each answer; it counts, and writes a line where `write` says so."""

    class AccessLogger(AbstractAccessLogger):
        def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
            request = cast(Request, request)  # what our server makes
            by = "tool" if request.is_forwarded else "proxy"
            metrics.answered.count(response.status, by, time)
            if write:
                access_log.info(
                    "%s %s %s",
                    request.method,
                    request.raw_path.partition("?")[0],
                    response.status,
                    extra={
                        "client": next(iter(request.chain), None),
                        "user": request.user,
                        "by": by,
                        "bytes": response.body_length,
                        "seconds": round(time, 4),
                        "request_id": request.request_id,
                    },
                )

    return AccessLogger
