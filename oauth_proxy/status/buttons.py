"""What each button of the status page does, sealed in a text that its form carries.

The law: a form does the one thing for which it was made, for ten minutes, once, at a proxy with the same secret.
"""

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from oauth_proxy.seal import Sealer, Unsealable

LASTS = 600.0
"""Seconds for which a button can be pressed."""


@dataclass(frozen=True, slots=True)
class Button:
    """What a button does: the command's `name` and `subject`. `nonce` is its own."""

    name: str
    subject: str | None
    at: float
    nonce: str


class Buttons:
    """Makes and opens these texts. `site` is the public URL, `wall` the time in seconds since the epoch."""

    def __init__(self, keys: Sequence[bytes], site: str, wall: Callable[[], float]) -> None:
        self._sealer = Sealer(keys, "status form")
        self._site = site
        self._wall = wall

    def made(self, name: str, subject: str | None = None) -> str:
        """The text for the form of this button."""
        content = [name, subject, self._wall(), secrets.token_hex(16)]
        return self._sealer.seal(json.dumps(content).encode(), self._site)

    def opened(self, name: str, text: str) -> Button:
        """The button that was pressed for this command. Raises Unsealable for any other, and for one too old."""
        button = Button(*json.loads(self._sealer.open(text, self._site)))
        if button.name != name or not 0 <= self._wall() - button.at <= LASTS:
            raise Unsealable
        return button
