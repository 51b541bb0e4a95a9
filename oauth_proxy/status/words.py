"""Numbers and moments as people read them."""

from datetime import UTC, datetime

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))


def lasting(seconds: float) -> str:
    """A span such as `40 s`, `3 min`, `2 h` or `5 d`."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def ago(seconds: float) -> str:
    """How long ago: `just now` or `3 min ago`."""
    return "just now" if seconds < 2 else f"{lasting(seconds)} ago"


def stamp(moment: float) -> str:
    """A moment, in seconds since the epoch, to the second, in UTC (RFC 3339)."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def several(number: float, one: str, many: str | None = None) -> str:
    """`1 worker`, `2 workers`."""
    return f"{number:,.0f} {one if number == 1 else many or one + 's'}"


def short(number: float) -> str:
    """A number with as many digits as say something: `0.03`, `1.2`, `35`, `12,000`."""
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.2g}"


def took(seconds: float) -> str:
    """A duration of a request: `0.8 ms`, `12 ms`, `1.5 s`."""
    return f"{short(seconds * 1000)} ms" if seconds < 1 else f"{short(seconds)} s"
