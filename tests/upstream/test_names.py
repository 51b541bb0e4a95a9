"""A tool that is at a name: what its lookups cost, and whom. The name server is played by `socket.getaddrinfo`."""

import asyncio
import gc
import logging
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from oauth_proxy.upstream.pool import Address
from tests.support.messages import GET, OK
from tests.support.tool import Door, a_door, a_tool, saying, until
from tests.support.units import PATIENCE

MANY = 50
"""More than the threads in which uvloop or asyncio looks names up."""


class NameServer:
    """Where names lead to; while it is `silent` nobody gets an answer for a name below `.test`."""

    def __init__(self) -> None:
        self.leads_to: dict[str, list[str]] = {}
        self.asked: Counter[str] = Counter()
        self.speaks = threading.Event()
        self.speaks.set()
        self._systems = socket.getaddrinfo

    def getaddrinfo(self, host: str, port: int, *more: Any, **how: Any) -> list[Any]:
        """As socket.getaddrinfo."""
        if not host.endswith(".test"):
            return self._systems(host, port, *more, **how)
        self.asked[host] += 1
        self.speaks.wait(10)
        if host not in self.leads_to:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [found for each in self.leads_to[host] for found in self._systems(each, port, *more, **how)]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    server = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server.getaddrinfo)
    yield server
    server.speaks.set()


async def statuses(door: Door, times: int = 1) -> set[bytes]:
    """The status lines' numbers when so many ask at once."""
    return {answer[9:12] for answer in await asyncio.gather(*(door.ask(GET) for _ in range(times)))}


async def test_a_tool_whose_name_gets_no_answer_holds_up_no_other_tool(names: NameServer) -> None:
    names.speaks.clear()
    async with a_tool(saying(OK)) as (_, address):
        kind, sick = Address("localhost", address.port), Address("sick.test", address.port)
        async with a_door(sick, connect_timeout=0.5) as out, a_door(kind) as well:
            assert await statuses(out, MANY) == {b"504"}
            assert await statuses(well) == {b"200"}  # those lookups still run
            assert names.asked == {"sick.test": 1}


async def test_a_lookup_that_ends_when_nobody_waits_any_more_is_forgotten_in_silence(
    names: NameServer, caplog: pytest.LogCaptureFixture
) -> None:
    names.speaks.clear()
    async with a_door(Address("sick.test", 80), connect_timeout=0.1) as door:
        assert await statuses(door) == {b"504"}
        names.speaks.set()
        assert await statuses(door) == {b"502"}
        assert "Name or service not known" in door.errors[-1].cause
        assert await statuses(door) == {b"502"}  # an error is not kept: this one has asked again
    gc.collect()
    assert [line.message for line in caplog.records if line.levelno >= logging.ERROR] == []
    assert names.asked["sick.test"] >= 2


async def test_each_address_of_a_name_is_tried_in_turn(names: NameServer) -> None:
    names.leads_to["tool.test"] = ["127.0.0.3", "127.0.0.2", "127.0.0.1"]
    async with a_tool(saying(OK)) as (_, address), a_door(Address("tool.test", address.port)) as door:
        assert await statuses(door) == {b"200"}


async def test_nobody_listening_at_any_address_of_a_name_is_502_and_said_once(
    names: NameServer, unused_tcp_port: int
) -> None:
    names.leads_to["tool.test"] = ["127.0.0.2", "127.0.0.1"]
    async with a_door(Address("tool.test", unused_tcp_port)) as door:
        assert await statuses(door) == {b"502"}
        assert door.errors[0].cause.startswith(f"tool.test:{unused_tcp_port}: ")
        assert door.errors[0].cause.count("Connection refused") == 1


async def test_a_tool_that_closes_each_connection_is_not_looked_up_for_each(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oauth_proxy.upstream.reach.FRESH", 3600.0)
    names.leads_to["tool.test"] = ["127.0.0.1"]
    closing = saying(OK.replace(b"Date", b"Connection: close\r\nDate"))
    async with a_tool(closing) as (tool, address), a_door(Address("tool.test", address.port)) as door:
        for _ in range(3):
            assert await statuses(door) == {b"200"}
        assert (tool.connections, names.asked["tool.test"]) == (3, 1)


async def test_a_tool_that_has_moved_is_found_at_once_however_fresh_its_last_address_is(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oauth_proxy.upstream.reach.FRESH", 3600.0)
    names.leads_to["tool.test"] = ["127.0.0.2"]
    async with a_tool(saying(OK)) as (tool, address), a_door(Address("tool.test", address.port)) as door:
        before = await asyncio.start_server(tool.serve, "127.0.0.2", address.port)
        assert await statuses(door) == {b"200"}
        before.close()
        await tool.stop()
        await until(lambda: door.upstream.open_connections == 0)
        names.leads_to["tool.test"] = ["127.0.0.1"]
        assert await statuses(door) == {b"200"}


async def test_a_name_server_that_falls_silent_takes_away_no_tool_that_was_found_before(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oauth_proxy.upstream.reach.FRESH", 0.0)
    monkeypatch.setattr("oauth_proxy.upstream.reach.SLOW", 0.05)
    names.leads_to["tool.test"] = ["127.0.0.1"]
    closing = saying(OK.replace(b"Date", b"Connection: close\r\nDate"))
    async with a_tool(closing) as (_, address), a_door(Address("tool.test", address.port)) as door:
        assert await statuses(door) == {b"200"}
        names.speaks.clear()
        assert await statuses(door, MANY) == {b"200"}
        assert names.asked["tool.test"] == 2
        names.leads_to.clear()
        names.speaks.set()
        async with asyncio.timeout(PATIENCE):
            while await statuses(door) != {b"502"}:  # that there is no such name is an answer
                pass
