"""What a worker has from its parent. It is made before the fork, so that all workers share it."""

import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from oauth_proxy.memory import Bell
from oauth_proxy.settings import Listen, Settings
from oauth_proxy.siblings import Alone, Siblings
from oauth_proxy.sockets import Listener
from oauth_proxy.tls import bare_context

if TYPE_CHECKING:
    from oauth_proxy.file_contents import FileContents

_FOR_TOOLS = 0o660
"""Mode of the tool API's Unix socket: its group may connect too. Its folder decides who can reach it."""


async def _at_once() -> None:
    """A process on its own serves when it can."""


@dataclass(frozen=True, slots=True)
class Inherited:
    """Everything that one worker shares with others; a process on its own makes it for itself."""

    listeners: Mapping[str, Listener]
    """By what is served there: `public`, `admin` and perhaps `tool_api`."""
    contents: "FileContents"
    replaces: bool = False
    """Whether processes with these settings have served before: a place that cannot be written now was one that
    could, so it is waited for, as they do."""
    siblings: Siblings = field(default_factory=Alone)
    bell: Bell = field(default_factory=Bell)
    tls: ssl.SSLContext = field(default_factory=bare_context)
    """Has the keys of session tickets, so that a visitor's TLS session is resumed at every worker."""
    private: Path | None = None
    """The file of the memory that ends with the proxy."""
    workers: int = 1
    """How many share what there is."""
    since: float = field(default_factory=time.monotonic)
    """When the proxy started, in monotonic seconds."""
    may_serve: Callable[[], Awaitable[None]] = _at_once
    """Is awaited when everything is made, before the first connection is accepted."""


def addresses(settings: Settings) -> dict[str, Listen]:
    """Where a proxy with these settings listens, by what it serves there."""
    wanted = {"public": settings.listen, "admin": settings.admin.listen}
    if settings.tool_api:
        at = settings.tool_api.listen
        wanted["tool_api"] = replace(at, mode=_FOR_TOOLS) if at.path else at
    return wanted
