"""Trouble in quantities: visitors on raw keep-alive connections, and a tool that has every kind of trouble.

Each request has an id that the test knows.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from oauth_proxy.cookies import Cookies, SealedCookie
from oauth_proxy.headers import Fields
from oauth_proxy.identity import Identity, Session, Tokens, encode
from oauth_proxy.seal import Sealer
from tests.support.tool import Peer, Tool, until
from tests.support.units import DAY, PATIENCE

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
OWN_502 = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes."


async def troubled(tool: Tool, peer: Peer) -> None:
    """Answers `ok`, or fails in the way that the first step of the path names."""
    while True:
        head = await tool.asked(peer)
        match head.split(b" ", 2)[1].split(b"/")[1]:
            case b"hang" | b"slow":
                await peer.rest()  # until nobody waits for the answer any more
                return
            case b"hangs_up":
                return
            case b"half":
                await peer.send(HALF)
                return
            case b"nonsense":
                await peer.send(b"I am no HTTP\r\n\r\n")
                return
            case b"own":
                await peer.send(OWN_502)
            case _:
                await peer.send(OK)


@dataclass(frozen=True)
class Kind:
    """What becomes of one kind of request: `why` begins the cause on its access line."""

    status: int
    failure: str | None = None
    why: str | None = None
    upstream: str | None = None
    by: str = "proxy"


@dataclass
class Planted:
    """A request that was sent, by whom and from where; `status` is what the client saw, None if it saw nothing."""

    kind: str
    client: str
    user: str | None
    status: int | None = None


@dataclass
class Crowd:
    """Everybody who asks the proxy at this port, and what they have asked so far, by request id."""

    port: int
    host: str
    planted: dict[str, Planted] = field(default_factory=dict)
    nameless: int = 0
    """Requests of which no id can be read."""
    _ids: Iterator[int] = field(default_factory=count)
    _callers: list["Caller"] = field(default_factory=list)

    def caller(self, client: str, *lines: str, user: str | None = None) -> "Caller":
        """Somebody at that address, who sends these lines with each request."""
        caller = Caller(self, client, lines, user)
        self._callers.append(caller)
        return caller

    async def leave(self) -> None:
        """Everybody closes their connection."""
        for caller in self._callers:
            caller.leave()
        await asyncio.sleep(0)

    async def raw(self, data: bytes) -> bytes:
        """What comes back to bytes that are no request."""
        self.nameless += 1
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        try:
            async with asyncio.timeout(PATIENCE):
                return await reader.read()
        finally:
            writer.close()

    def number(self) -> int:
        return next(self._ids)


class Caller:
    """A client that keeps its connection for as long as the proxy does."""

    def __init__(self, crowd: Crowd, client: str, lines: tuple[str, ...], user: str | None) -> None:
        self._crowd = crowd
        self._client = client
        self._lines = lines
        self.user = user
        """Who the log should say it was."""
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def another(self) -> "Caller":
        """The same visitor on another connection."""
        return self._crowd.caller(self._client, *self._lines, user=self.user)

    async def ask(self, kind: str, path: str = "/", *lines: str, times: int = 1, host: str | None = None) -> bytes:
        """So many requests of this kind, one after another; the head of the last answer."""
        head = b""
        for _ in range(times):
            planted = await self._send(kind, path, lines, host)
            head = await self._answered(planted)
        return head

    async def give_up(self, kind: str, path: str, tool: Tool) -> None:
        """A request whose client leaves once the tool has it."""
        await self._connect()  # meanwhile others plant theirs
        before, number = len(tool.heads), len(self._crowd.planted)
        await self._send(kind, path, (), None)
        mark = f"{kind.replace(' ', '-')}-{number}\r\n".encode()
        await until(lambda: any(mark in head for head in tool.heads[before:]))
        self.leave()

    def leave(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection[1].close()
        self._connection = None

    async def _connect(self) -> asyncio.StreamWriter:
        if self._connection is None:
            self._connection = await asyncio.open_connection("127.0.0.1", self._crowd.port)
        return self._connection[1]

    async def _send(self, kind: str, path: str, lines: tuple[str, ...], host: str | None) -> Planted:
        writer = await self._connect()
        name = f"{kind.replace(' ', '-')}-{len(self._crowd.planted)}"
        planted = self._crowd.planted[name] = Planted(kind, self._client, self.user)
        head = [
            f"GET {path} HTTP/1.1",
            f"Host: {host or self._crowd.host}",
            f"X-Request-Id: {name}",
            f"X-Forwarded-For: {self._client}",
            *self._lines,
            *lines,
        ]
        writer.write("\r\n".join([*head, "", ""]).encode())
        return planted

    async def _answered(self, planted: Planted) -> bytes:
        assert self._connection is not None
        reader, _ = self._connection
        async with asyncio.timeout(PATIENCE):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except ConnectionError:  # cut before it was read
                self.leave()
                return b""
            planted.status = int(head[9:12])
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                await reader.readexactly(int(fields.get(b"content-length", b"0")))
                if fields.get(b"connection") != b"close":
                    return head
        self.leave()
        return head


def worn_out_cookie(key: bytes, person: Identity, now: float) -> str:
    """The Cookie line of a session that began eight days ago."""
    before = now - 8 * DAY
    session = Session("worn-out", person, Tokens("a", before, before + 3600, "r"), before, before, before)
    cookies = Cookies("oauth_proxy", secure=False)
    sealed = SealedCookie(cookies, Sealer([key], "session"), cookies.name)
    lines = sealed.set(encode(session), DAY, cookies.read(Fields([])))
    return "Cookie: " + "; ".join(line.partition(";")[0] for line in lines)
