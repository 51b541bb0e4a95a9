"""The store without a proxy. A stub with the real module's signatures, to be replaced by it."""

import time

from oauth_proxy import session
from oauth_proxy.errors import ConfigurationError
from oauth_proxy.identity import Seen
from oauth_proxy.settings import Redis, Settings


async def end_user(settings: Settings, user: str | None) -> None:
    """All sessions of an id or email address, or of everybody for None, are over.

    Raises ConfigurationError where the store cannot be used.
    """
    if isinstance(settings.session.store, Redis):
        await session.end_user(settings, settings.session.store, user, time.time())


async def seen(settings: Settings) -> list[Seen]:
    """Everybody whom the store knows.

    Raises ConfigurationError where the store cannot be used.
    """
    raise ConfigurationError([f"session.store: {settings.session.store} cannot list who is signed in"])
