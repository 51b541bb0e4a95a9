"""The access log: one line per request in the format of `logs`, but faster than the logging module."""

import json
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from oauth_proxy.outlet import PIPE_BUF, Outlet
from oauth_proxy.settings import Log
from oauth_proxy.telemetry.logs import ACCESS, fields, stamp
from oauth_proxy.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from oauth_proxy.outcomes import Outcome
    from oauth_proxy.requests import Request

_WORTH_TELLING = 0.1
"""Seconds of waiting for Frame.io or the store from which a line tells it."""


class AccessLog:
    """Counts each response in `metrics`, and writes a line for it to `stream` if `settings` say so.

    All lines of one event loop iteration are written at once: `soon` schedules a function for the next one. `note`
    is called for each response that has a cause or a status from 500 on.
    """

    def __init__(
        self,
        metrics: Metrics,
        settings: Log,
        stream: TextIO | Outlet,
        soon: Callable[[Callable[[], None]], object],
        note: Callable[["Request", "Outcome"], None] = lambda request, outcome: None,
    ) -> None:
        self._note = note
        self._count = metrics.answered.count
        self._line = _text if settings.format == "text" else _json
        self._is_written = settings.access
        self._email = settings.email is True
        self._has_level = ACCESS.isEnabledFor
        self._stream = stream
        self._soon = soon
        self._waiting: list[tuple[dict[str, object], float]] = []
        self._second, self._stamp = 0, ""

    def answered(self, request: "Request", outcome: "Outcome", seconds: float) -> None:
        """Record that a response was sent, `seconds` after its request."""
        response = outcome.response
        status = response.status
        self._count(status, outcome.by, seconds, stays_open=getattr(response, "stays_open", False))
        if outcome.cause is not None or status >= 500:
            self._note(request, outcome)
        if self._is_written and self._has_level(logging.INFO):
            if not self._waiting:
                self._soon(self._flush)
            line = facts(request, status, email=self._email)
            line["by"], line["bytes"] = outcome.by, response.body_length
            if outcome.failure is not None:
                line["failure"] = outcome.failure
            if outcome.cause is not None:
                line["cause"] = outcome.cause
            if request.identity_seconds >= _WORTH_TELLING:
                line["identity_seconds"] = round(request.identity_seconds, 4)
            self._waiting.append((line, seconds))

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


def facts(request: "Request", status: int | None = None, *, email: bool = False) -> dict[str, object]:
    """What every line about a request says of it, as far as it is known; the email address only if wanted."""
    told: dict[str, object] = {} if status is None else {"status": status}
    told["method"], told["path"] = request.method, _path(request)
    if request.chain:
        told["client"] = request.chain[0]
    if (session := request.session or request.brought) is not None:
        who = session.identity
        told["user"] = who.id
        if email and who.email:
            told["email"] = who.email
    if request.upstream:
        told["upstream"] = request.upstream
    told["request_id"] = request.request_id
    if request.trace_id:
        told["trace_id"] = request.trace_id
    return told


def _path(request: "Request") -> str:
    """The request target without its query and user information (RFC 3986 3.2.1), as both may hold secrets."""
    path = request.raw_path.partition("?")[0]
    if path.startswith("/") and not path.startswith("//"):
        return path
    return path.rpartition("@")[2]


def _text(now: str, told: dict[str, object], seconds: float) -> str:
    return f"{now} INFO    access:{fields(told)} seconds={seconds:.4f}\n"


def _json(now: str, told: dict[str, object], seconds: float) -> str:
    line: dict[str, object] = {
        "time": now,
        "level": "info",
        "logger": ACCESS.name,
        "message": f"{told['method']} {told['path']} {told['status']}",
        **told,
        "seconds": round(seconds, 4),
    }
    return json.dumps(line) + "\n"
