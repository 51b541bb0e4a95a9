"""Bounds on what visitors may take: each has a default that is good for nearly everybody."""

from typing import Annotated

from oauth_proxy.settings import units
from oauth_proxy.settings.parts import Part
from oauth_proxy.settings.refusal import Refused
from oauth_proxy.settings.written import Written


def _rate(text: str) -> int:
    rate = units.size(text)
    if not rate:
        raise Refused("a body of which nothing needs to come would hold its place for ever", "1B")
    return rate


Rate = Annotated[int, Written(_rate, units.written_size, {"pattern": units.SIZE_PATTERN})]


class Limits(Part):
    """Bounds on what visitors may take; set only what must differ."""

    body_rate: Rate = 240
    """A request's body that comes with less than this a second, over a minute, is given up."""
