"""Durations and sizes as people write them: a number never stands without its unit."""

import re

from oauth_proxy.settings.problems import Refused

DURATION_PATTERN = r"^(?=\d)(\d{1,9}d)?(\d{1,9}h)?(\d{1,9}m)?(\d{1,9}s)?(\d{1,9}ms)?$"
SIZE_PATTERN = r"^(\d{1,9})(B|kB|MB|GB|KiB|MiB|GiB)$"

_MILLISECONDS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_LONGEST_DAYS = 3650
# What other programs and people write, in lower case.
_OTHER_TIMES = {
    **dict.fromkeys(("", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("day", "days"), "d"),
}
_OTHER_SIZES = {"": "B", "k": "KiB", "m": "MiB", "g": "GiB"}


def duration(text: str) -> float:
    """Seconds in `90s`, `8h`, `7d`, `1h30m` or `250ms`; more than none, at most ten years, else Refused."""
    if not re.fullmatch(DURATION_PATTERN, text, re.ASCII):
        meant = _with_unit(text, _MILLISECONDS, _OTHER_TIMES)
        raise Refused("a duration needs a unit, such as 90s, 15m, 8h or 7d", meant)
    parts = re.findall(r"(\d+)([a-z]+)", text)
    milliseconds = sum(int(number) * _MILLISECONDS[unit] for number, unit in parts)
    if not 0 < milliseconds <= _LONGEST_DAYS * _MILLISECONDS["d"]:
        raise Refused(f"a duration is longer than 0s and at most {_LONGEST_DAYS}d")
    return milliseconds / 1000


def written_duration(seconds: float) -> str:
    """How to write these seconds, given in whole milliseconds: the inverse of `duration`."""
    rest, written = round(seconds * 1000), ""
    for unit, milliseconds in _MILLISECONDS.items():
        count, rest = divmod(rest, milliseconds)
        written += f"{count}{unit}" if count else ""
    return written


def size(text: str) -> int:
    """Bytes in `512B`, `10MiB` (of 2**20) or `10MB` (of 10**6); else Refused."""
    matched = re.fullmatch(SIZE_PATTERN, text, re.ASCII)
    if not matched:
        meant = _with_unit(text, _BYTES, _OTHER_SIZES)
        raise Refused("a size needs a unit, such as 512B, 64KiB, 10MiB or 1GiB", meant)
    return int(matched[1]) * _BYTES[matched[2]]


def written_size(number: int) -> str:
    """How to write so many bytes: the inverse of `size`, in the largest unit that leaves no rest."""
    unit = max(
        (unit for unit, of in _BYTES.items() if number and not number % of), key=_BYTES.__getitem__, default="B"
    )
    return f"{number // _BYTES[unit]}{unit}"


def _with_unit(text: str, units: dict[str, int], others: dict[str, str]) -> str | None:
    """The number with the unit that was probably meant."""
    matched = re.fullmatch(r"\s*(\d{1,9})\s*([A-Za-z]*)\s*", text, re.ASCII)
    if not matched:
        return None
    known = {**{unit.lower(): unit for unit in units}, **others}
    unit = known.get(matched[2].lower())
    return matched[1] + unit if unit else None
