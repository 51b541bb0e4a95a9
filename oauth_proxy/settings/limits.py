"""How much visitors may take; the defaults are good, and only what must differ is set."""

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict

from oauth_proxy.settings.refusal import Refused
from oauth_proxy.settings.written import Written

FEWEST, MOST = 16, 1_000_000


def number(text: str) -> int:
    """A number of connections; Refused when it is none, or of another order."""
    if not re.fullmatch(r"[0-9]{1,7}", text, re.ASCII) or not FEWEST <= int(text) <= MOST:
        raise Refused(f"a number of connections is wanted, from {FEWEST} to {MOST}")
    return int(text)


class Limits(BaseModel):
    """What all visitors together may take."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True
    )

    connections: (
        Annotated[int, Written(number, int, {"type": ["integer", "string"], "pattern": "^[0-9]+$"})] | None
    ) = None
    """Most connections of visitors. By default half of the open files that the system allows, at most 16384."""
