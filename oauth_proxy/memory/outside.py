"""Access to the store for commands while no proxy runs: end sessions, and list who was seen."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from oauth_proxy.clock import Clock
from oauth_proxy.errors import ConfigurationError
from oauth_proxy.identity import Seen
from oauth_proxy.memory.memory import Memory
from oauth_proxy.memory.opening import memory_for
from oauth_proxy.settings import Settings


async def end_user(settings: Settings, user: str | None) -> None:
    """End all present sessions of an id or email address, or of everybody for None.

    Raises ConfigurationError if the store cannot be written.
    """
    async with _open(settings, "told") as memory:
        if not await memory.end_user(user):
            raise _failed(settings, memory, "told")


async def seen(settings: Settings) -> list[Seen]:
    """Who was seen. Raises ConfigurationError if the store cannot be read."""
    async with _open(settings, "asked") as memory:
        notes = await memory.notes()
        if memory.trouble:
            raise _failed(settings, memory, "asked")
    return [Seen(note.user, note.email, note.created, note.seen) for note in notes]


@asynccontextmanager
async def _open(settings: Settings, what: str) -> AsyncIterator[Memory]:
    memory = memory_for(settings, Clock())
    try:
        await memory.follow()
        if memory.trouble:
            raise _failed(settings, memory, what)
        yield memory
    finally:
        await memory.close()


def _failed(settings: Settings, memory: Memory, what: str) -> ConfigurationError:
    return ConfigurationError([f"session.store: {settings.session.store} cannot be {what}: {memory.cause}"])
