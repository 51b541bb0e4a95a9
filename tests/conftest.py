"""What every test gets: the event loop the proxy runs on, and a stage where one is asked for."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import pytest
import uvloop
from hypothesis import settings

from tests.support.browser import Visitor
from tests.support.certificates import Authority
from tests.support.proxy import Stage, on_stage, release_ports
from tests.support.templates import compiled_once

# How long an example takes says something of the machine, not of the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session", autouse=True)
def templates() -> Iterator[None]:
    """The same few templates are not compiled for each of a thousand stages."""
    with compiled_once():
        yield


@pytest.fixture(autouse=True)
def held_ports() -> Iterator[None]:
    """What a test holds by `free_port` is let go after everything else of it."""
    yield
    release_ports()


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """The proxy in its plain configuration before the demo's tool, with a stopped clock."""
    async with on_stage() as plain:
        yield plain


@pytest.fixture
async def visitor() -> AsyncIterator[Visitor]:
    """Somebody with a browser of their own."""
    async with Visitor() as somebody:
        yield somebody


@pytest.fixture
def authority() -> Authority:
    """Somebody whom servers' certificates may be of."""
    return Authority()


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> None:
    """`caplog` has whatever the proxy would say at its most talkative."""
    caplog.set_level(logging.DEBUG, "oauth_proxy")
