"""Log lines, text or JSON.

The law: no query string, header value or token is logged, but a Host that is not ours. Control characters are
escaped in one place. Many equal lines become one line with their number.
"""

import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal, TextIO

from oauth_proxy.outlet import Outlet
from oauth_proxy.settings import Level

LEVELS: Mapping[Level, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
ACCESS = logging.getLogger("oauth_proxy.access")
"""The name and the level of access lines, which are written without it."""
ACCESS.setLevel(logging.INFO)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BARE = re.compile(r"[!#-<>-~]+")
_BURST, _PER_SECOND = 10, 1.0
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def printable(text: str) -> str:
    """The text with every control character escaped, so that a log line stays one line."""
    if text.isascii() and text.isprintable():
        return text
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def fields(told: Mapping[str, object]) -> str:
    """` key=value …` for a line of text. A value with a space, `"` or `=` in it stands in quotation marks."""
    values = list(map(str, told.values()))
    if not (all(values) and _BARE.fullmatch("".join(values))):  # one look at all costs less than one at each
        values = [value if _BARE.fullmatch(value) else _quoted(value) for value in values]
    return "".join([f" {key}={value}" for key, value in zip(told, values, strict=True)])


def _quoted(text: str) -> str:
    return '"' + printable(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def stamp(moment: float) -> str:
    """A moment, in seconds since the epoch, as RFC 3339 text with milliseconds."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in record.__dict__.items() if key not in _STANDARD and value is not None}


def _exception(record: logging.LogRecord) -> str | None:
    return logging.Formatter().formatException(record.exc_info) if record.exc_info else None


class TextFormatter(logging.Formatter):
    """`time LEVEL logger: message key=value …`, always one line, except for a traceback of a bug of ours."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text. A `cause` that is the message is not repeated."""
        message = record.getMessage()
        told = {key: value for key, value in _fields(record).items() if (key, value) != ("cause", message)}
        name = record.name.removeprefix("oauth_proxy.")
        line = f"{stamp(record.created)} {record.levelname:<7} {name}: {printable(message)}{fields(told)}"
        trace = _exception(record)
        return f"{line}\n{trace}" if trace else line


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, and the record's extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        line: dict[str, object] = {
            "time": stamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if trace := _exception(record):
            line["exception"] = trace
        return json.dumps(line, default=str)


class StormFilter(logging.Filter):
    """Passes ten lines of one kind, then one per second, which says how many were dropped before it.

    A kind is the logger, the message without its arguments, and the failure's name, so strangers cannot create
    kinds. Lines below WARNING about a known `user` (signed in, signed out) are always written.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: dict[tuple[str, str, str], tuple[float, float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if record.levelno < logging.WARNING and "user" in record.__dict__:
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


def configure_logging(form: Literal["text", "json"], stream: TextIO | Outlet, level: Level = "info") -> None:
    """Send every logger's lines of this level and above to `stream` in one form."""
    formatter = JsonFormatter() if form == "json" else TextFormatter()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    handler.addFilter(StormFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)
    # asyncio warns about what strangers send; we log that ourselves, in one line each.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    if isinstance(stream, Outlet):
        stream.missing = lambda number: _missing(formatter, number)


def set_level(level: Level) -> None:
    """Write lines of this level and above from now on."""
    for logger in (logging.getLogger(), ACCESS):
        logger.setLevel(LEVELS[level])


def level_now() -> Level:
    """The level that is in use."""
    now = ACCESS.level
    return next((name for name, number in LEVELS.items() if number >= now), "error")


def _missing(formatter: logging.Formatter, number: int) -> str:
    record = logging.makeLogRecord({"name": "oauth_proxy.log", "levelno": logging.WARNING, "levelname": "WARNING"})
    record.msg, record.dropped = "lines were dropped, because nobody read this log", number
    return formatter.format(record) + "\n"
