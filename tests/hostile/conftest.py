"""What every hostile test gets."""

from collections.abc import AsyncIterator

import pytest

from tests.support.browser import Visitor
from tests.support.raw_http import Login, Wire, wired


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """The plain proxy, with a few public paths, between raw sockets."""
    async with wired() as plain:
        yield plain


@pytest.fixture
async def https() -> AsyncIterator[Wire]:
    """A proxy whose public URL is https, behind something that ends the TLS."""
    async with wired(public_url="https://review.example.com") as secure:
        yield secure


@pytest.fixture
async def shared() -> AsyncIterator[Wire]:
    """A proxy whose cookie is shared with a whole domain."""
    cookie = {"cookie": {"domain": "example.com"}}
    async with wired(public_url="https://review.example.com", session=cookie) as neighbourly:
        yield neighbourly


@pytest.fixture
async def editor(wire: Wire, visitor: Visitor) -> Login:
    """The Editor, signed in at the plain proxy."""
    return await wire.login(visitor)
