"""Bounds on what visitors may take: each has a default that is good for nearly everybody."""

import re
from typing import Annotated

from oauth_proxy.settings import units
from oauth_proxy.settings.parts import Part
from oauth_proxy.settings.problems import Refused
from oauth_proxy.settings.written import Written

FEWEST, MOST = 16, 1_000_000


def number(text: str) -> int:
    """A number of connections; Refused when it is none, or of another order."""
    if not re.fullmatch(r"[0-9]{1,7}", text, re.ASCII) or not FEWEST <= int(text) <= MOST:
        raise Refused(f"a number of connections is wanted, from {FEWEST} to {MOST}")
    return int(text)


def _rate(text: str) -> int:
    rate = units.size(text)
    if not rate:
        raise Refused("a body of which nothing needs to come would hold its place for ever", "1B")
    return rate


Rate = Annotated[int, Written(_rate, units.written_size, {"pattern": units.SIZE_PATTERN})]


class Limits(Part):
    """Bounds on what visitors may take; set only what must differ."""

    connections: (
        Annotated[int, Written(number, int, {"type": ["integer", "string"], "pattern": "^[0-9]+$"})] | None
    ) = None
    """Most connections of visitors. By default half of the open files that the system allows, at most 16384."""
    body_rate: Rate = 240
    """A request's body that comes with less than this a second, over a minute, is given up."""
