"""The access log: one line per request in the format of `logs`, but faster than the logging module."""

import json
import select
import time
from collections.abc import Callable
from typing import TextIO

from oauth_proxy.outcomes import Outcome
from oauth_proxy.requests import Request
from oauth_proxy.settings import Log
from oauth_proxy.telemetry.logs import printable, stamp
from oauth_proxy.telemetry.metrics import Metrics

_LOGGER = "oauth_proxy.access"
PIPE_BUF = getattr(select, "PIPE_BUF", 512)
"""Bytes that are written to a pipe in one piece (POSIX)."""


class AccessLog:
    """Counts each response in `metrics`, and writes a line for it to `stream` if `settings` say so.

    All lines of one event loop iteration are written at once: `soon` schedules a function for the next one.
    """

    def __init__(
        self,
        metrics: Metrics,
        settings: Log,
        stream: TextIO,
        soon: Callable[[Callable[[], None]], object],
    ) -> None:
        self._count = metrics.answered.count
        self._line = _text if settings.format == "text" else _json
        self._is_written = settings.access
        self._stream = stream
        self._soon = soon
        self._waiting: list[tuple[Request, Outcome, float]] = []
        self._second, self._stamp = 0, ""

    def answered(self, request: Request, outcome: Outcome, seconds: float) -> None:
        """Record that a response was sent, `seconds` after its request."""
        response = outcome.response
        self._count(response.status, outcome.by, seconds, stays_open=getattr(response, "stays_open", False))
        if self._is_written:
            if not self._waiting:
                self._soon(self._flush)
            self._waiting.append((request, outcome, seconds))

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        now, line = self._time(), self._line
        lines: list[str] = []
        size = 0
        for each in waiting:
            text = line(now, *each)
            length = len(text) if text.isascii() else 4 * len(text)
            if size + length > PIPE_BUF and lines:
                self._write(lines)
                lines, size = [], 0
            lines.append(text)
            size += length
        self._write(lines)

    def _write(self, lines: list[str]) -> None:
        """Write these lines at once, and no more than a pipe takes as a whole: other workers write to it, too."""
        try:
            self._stream.write("".join(lines))
            self._stream.flush()
        except OSError:
            pass  # the log's reader is gone, and there is no other place to report it

    def _time(self) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second, self._stamp = second, stamp(second)[:-4]
        return f"{self._stamp}{int(now * 1000) % 1000:03d}Z"


def _path(request: Request) -> str:
    """The request target without its query and user information (RFC 3986 3.2.1), as both may hold secrets."""
    path = request.raw_path.partition("?")[0]
    if path.startswith("/") and not path.startswith("//"):
        return path
    return path.rpartition("@")[2]


def _text(now: str, request: Request, outcome: Outcome, seconds: float) -> str:
    response = outcome.response
    path = printable(_path(request))
    client = f" client={request.chain[0]}" if request.chain else ""
    user = f" user={printable(outcome.user)}" if outcome.user is not None else ""
    return (
        f"{now} INFO    access: {request.method} {path} {response.status}{client}{user} by={outcome.by}"
        f" bytes={response.body_length} seconds={seconds:.4f} request_id={request.request_id}\n"
    )


def _json(now: str, request: Request, outcome: Outcome, seconds: float) -> str:
    response, path = outcome.response, _path(request)
    line: dict[str, object] = {
        "time": now,
        "level": "info",
        "logger": _LOGGER,
        "message": f"{request.method} {path} {response.status}",
        "by": outcome.by,
        "bytes": response.body_length,
        "seconds": round(seconds, 4),
        "request_id": request.request_id,
    }
    if request.chain:
        line["client"] = request.chain[0]
    if outcome.user is not None:
        line["user"] = outcome.user
    return json.dumps(line) + "\n"
