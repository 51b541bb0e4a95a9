"""Every test of the data path runs on uvloop, as the proxy does, and on asyncio's own loop: transports differ."""

import asyncio
import ssl
from collections.abc import Callable, Mapping

import pytest
import trustme
import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
def tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server named localhost shows, and what believes it."""
    authority = trustme.CA()
    serving, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(serving)
    authority.configure_trust(trusting)
    return serving, trusting
