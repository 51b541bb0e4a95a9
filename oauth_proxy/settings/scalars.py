"""Flags, durations, sizes and numbers. A duration or a size always has a unit."""

import re
from typing import Annotated

from oauth_proxy.settings.fields import FromText
from oauth_proxy.settings.problems import Refused

_DURATION = r"^(?=\d)(\d{1,9}d)?(\d{1,9}h)?(\d{1,9}m)?(\d{1,9}s)?(\d{1,9}ms)?$"
_SIZE = r"^(\d{1,9})(B|kB|MB|GB|KiB|MiB|GiB)$"
_MILLISECONDS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_LONGEST_DAYS = 3650
# What other programs accept and people write, in lower case.
_OTHER_TIMES = {
    **dict.fromkeys(("", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("day", "days"), "d"),
}
_OTHER_SIZES = {"": "B", "k": "KiB", "m": "MiB", "g": "GiB"}
# What YAML 1.1 also reads as true or false.
_OTHER_FLAGS = {"yes": "true", "on": "true", "1": "true", "no": "false", "off": "false", "0": "false"}
_MOST_WORKERS = 128
_FEWEST_CONNECTIONS, _MOST_CONNECTIONS = 16, 1_000_000


def parse_flag(text: str) -> bool:
    """`true` or `false`."""
    if text not in ("true", "false"):
        folded = text.lower()
        suggestion = folded if folded in ("true", "false") else _OTHER_FLAGS.get(folded)
        raise Refused("this must be true or false", suggestion)
    return text == "true"


def parse_duration(text: str) -> float:
    """Seconds in `90s`, `8h`, `7d`, `1h30m` or `250ms`: more than 0, at most ten years."""
    if not re.fullmatch(_DURATION, text, re.ASCII):
        suggestion = _with_unit(text, _MILLISECONDS, _OTHER_TIMES) or _in_whole_units(text)
        raise Refused("a duration needs a unit, such as 90s, 15m, 8h or 7d", suggestion)
    parts = re.findall(r"(\d+)([a-z]+)", text)
    milliseconds = sum(int(number) * _MILLISECONDS[unit] for number, unit in parts)
    if not 0 < milliseconds <= _LONGEST_DAYS * _MILLISECONDS["d"]:
        raise Refused(f"a duration is longer than 0s and at most {_LONGEST_DAYS}d")
    return milliseconds / 1000


def write_duration(seconds: float) -> str:
    """The inverse of `parse_duration`, for seconds that are a whole number of milliseconds."""
    rest, text = round(seconds * 1000), ""
    for unit, milliseconds in _MILLISECONDS.items():
        count, rest = divmod(rest, milliseconds)
        text += f"{count}{unit}" if count else ""
    return text


def parse_size(text: str) -> int:
    """Bytes in `512B`, `10MiB` (of 2**20) or `10MB` (of 10**6)."""
    match = re.fullmatch(_SIZE, text, re.ASCII)
    if not match:
        suggestion = _with_unit(text, _BYTES, _OTHER_SIZES)
        raise Refused("a size needs a unit, such as 512B, 64KiB, 10MiB or 1GiB", suggestion)
    return int(match[1]) * _BYTES[match[2]]


def write_size(number: int) -> str:
    """The inverse of `parse_size`, in the largest unit of which the size is a multiple."""
    units = (unit for unit, size in _BYTES.items() if number and not number % size)
    unit = max(units, key=_BYTES.__getitem__, default="B")
    return f"{number // _BYTES[unit]}{unit}"


def _parse_rate(text: str) -> int:
    rate = parse_size(text)
    if not rate:
        raise Refused("a body of which nothing needs to come would hold its place for ever", "1B")
    return rate


def _parse_connections(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,7}", text, re.ASCII) and _FEWEST_CONNECTIONS <= int(text) <= _MOST_CONNECTIONS:
        return int(text)
    raise Refused(f"a number of connections is wanted, from {_FEWEST_CONNECTIONS} to {_MOST_CONNECTIONS}")


def _with_unit(text: str, units: dict[str, int], others: dict[str, str]) -> str | None:
    """The number with the unit that was probably meant."""
    match = re.fullmatch(r"\s*(\d{1,9})\s*([A-Za-z]*)\s*", text, re.ASCII)
    if not match or not int(match[1]):
        return None
    known = {**{unit.lower(): unit for unit in units}, **others}
    unit = known.get(match[2].lower())
    return match[1] + unit if unit else None


def _in_whole_units(text: str) -> str | None:
    """The duration that was meant by weeks, or by a fraction such as 1.5h."""
    match = re.fullmatch(r"(\d{1,4}(?:\.\d{1,3})?)\s*(w|d|h|m|s)[a-z]*", text, re.ASCII | re.IGNORECASE)
    if not match:
        return None
    unit = {"w": 7 * _MILLISECONDS["d"], **_MILLISECONDS}[match[2].lower()]
    return write_duration(float(match[1]) * unit / 1000) or None


def _parse_workers(text: str) -> int:
    if text == "auto":
        return 0
    if re.fullmatch(r"[0-9]{1,3}", text, re.ASCII) and 1 <= int(text) <= _MOST_WORKERS:
        return int(text)
    raise Refused(f"a number of processes is wanted, from 1 to {_MOST_WORKERS}, or auto: one for each processor")


def _write_workers(number: int) -> int | str:
    return number or "auto"


def _parse_delay(text: str) -> float:
    if text == "0":
        raise Refused("a duration needs a unit, such as 0s or 5s", "0s")
    return 0.0 if text == "0s" else parse_duration(text)


def _write_delay(seconds: float) -> str:
    return write_duration(seconds) or "0s"


DURATION_SCHEMA = {"title": "duration", "pattern": _DURATION}

_FLAG_SCHEMA = {"title": "true or false", "type": ["boolean", "string"], "pattern": "^(true|false)$"}
_COUNT = {"title": "number", "type": ["integer", "string"]}

Flag = Annotated[bool, FromText(parse_flag, bool, _FLAG_SCHEMA)]
Duration = Annotated[float, FromText(parse_duration, write_duration, DURATION_SCHEMA)]
Rate = Annotated[int, FromText(_parse_rate, write_size, {"title": "size", "pattern": _SIZE})]
"""Bytes per second, at least one."""
Connections = Annotated[
    int,
    FromText(
        _parse_connections,
        int,
        {**_COUNT, "pattern": "^[0-9]+$", "minimum": _FEWEST_CONNECTIONS, "maximum": _MOST_CONNECTIONS},
    ),
]
"""A number of connections."""
Workers = Annotated[
    int,
    FromText(
        _parse_workers,
        _write_workers,
        {
            **_COUNT,
            "title": "number, or auto",
            "pattern": "^([0-9]+|auto)$",
            "minimum": 1,
            "maximum": _MOST_WORKERS,
        },
    ),
]
"""A number of processes; 0 stands for `auto`."""
Delay = Annotated[float, FromText(_parse_delay, _write_delay, DURATION_SCHEMA)]
"""A duration that may be 0s."""
