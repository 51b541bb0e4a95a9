"""The whole cast on loopback: the proxy as its settings make it, the emulated Frame.io, a tool, raw sockets."""

import asyncio
import base64
import secrets
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from oauth_proxy.app import Proxy
from oauth_proxy.demo.dialects import V2, V4
from oauth_proxy.demo.frameio import FrameIO
from oauth_proxy.demo.people import Api, App
from oauth_proxy.demo.tool import tool as demo_tool
from oauth_proxy.serving import running
from oauth_proxy.settings import Listen, Settings, ToolApi, parse
from tests.support.units import NOW, PATIENCE

SECRET = "an-emulated-secret/with:odd+%41characters"
"""Of the app at the emulated Frame.io."""

STUDIO = {"allow": [{"email": "*@studio.example.com"}]}
"""Lets in the people of one domain; the Editor is one of them, the Guest is not."""

PROGRAM = {"Accept": "application/json", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
"""What fetch() says of itself."""

SCRIPT = [f"{name}: {value}" for name, value in PROGRAM.items()]
"""The same as lines of a request."""

FORM = "Content-Type: application/x-www-form-urlencoded"
"""The line that a browser sends with a form."""

REVIEWER_ONLY = {"allow": [{"email": "reviewer@studio.example.com"}]}
"""Lets in the Reviewer, and nobody else."""

A_MONTH = {"lifetime": "30d", "idle": "30d"}
"""Sessions that last for as long as a test lets time pass."""

WANTED = "Sec-Fetch-Site: none"
"""What a browser says when its visitor typed the address; without it, nobody is signed out."""


class Clock:
    """Seconds since the epoch that pass only when told to; the emulator and the proxy share one.

    The proxy's machine may have a clock that is `wrong` by some seconds, which can be set at any time.
    """

    def __init__(self, now: float = NOW) -> None:
        self.now = now
        self.wrong = 0.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def wall(self) -> float:
        return self.now + self.wrong

    def monotonic(self) -> float:
        return self.now

    def slept(self) -> float:
        return 0.0


@dataclass
class Stage:
    """Everything that plays, and what has been seen of it."""

    url: str
    proxy: Proxy
    admin_url: str
    frameio: FrameIO
    frameio_url: str
    clock: Clock
    keys: list[str]
    settings: Settings
    listens_on: int
    tool_requests: Counter[str] = field(default_factory=Counter)
    """How often the tool was asked for each raw path."""

    @property
    def port(self) -> int:
        """The port that visitors know; a replica listens on another one."""
        return int(self.url.rpartition(":")[2])

    async def raw(self, data: bytes) -> bytes:
        """All the proxy answers on one connection to these bytes, until it hangs up."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listens_on)
        writer.write(data)
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
        writer.close()
        return answer

    async def ask(self, path: str, *lines: str, method: str = "GET", body: bytes = b"") -> "RawAnswer":
        """One request, its target and header lines sent exactly as given; the connection closes after it."""
        head = [f"{method} {path} HTTP/1.1", f"Host: localhost:{self.port}", "Connection: close", *lines]
        if body:
            head.append(f"Content-Length: {len(body)}")
        sent = "\r\n".join(head).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body
        return RawAnswer.read(await self.raw(sent))


@dataclass(frozen=True)
class RawAnswer:
    """One answer off the wire, and whatever followed it (`rest`, where it has a Content-Length)."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    rest: bytes = b""

    @classmethod
    def read(cls, raw: bytes) -> "RawAnswer":
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
        answer = cls(int(first.split(" ")[1]), headers, body)
        length = answer.get("Content-Length")
        if length is None:
            return answer
        return cls(answer.status, headers, body[: int(length)], body[int(length) :])

    def all(self, name: str) -> list[str]:
        return [value for sent, value in self.headers if sent.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        found = self.all(name)
        assert len(found) <= 1, found
        return found[0] if found else None


def a_secret() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


_held: list[socket.socket] = []


def free_port() -> int:
    """A port that the system gives to nobody else until `release_ports`; a server that is told of it can have it.

    A socket that is bound and does not listen keeps the port from everybody who asks for any free one, in this
    process and in others. With SO_REUSEADDR on both sides, a server can listen there nevertheless, as often as it
    is started: no moment is left in which the port is free. Until a server does, connections are refused.
    """
    held = socket.socket()
    _held.append(held)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("", 0))  # on every address: some servers listen on more than loopback
    port: int = held.getsockname()[1]
    return port


def release_ports() -> None:
    """Let go of every port that `free_port` holds."""
    while _held:
        _held.pop().close()


@asynccontextmanager
async def serving(handler: web.Application | web.Server) -> AsyncIterator[str]:
    """An aiohttp application, or a bare handler's server, on a loopback port; its URL."""
    runner: web.BaseRunner = (
        web.AppRunner(handler, shutdown_timeout=0.1)
        if isinstance(handler, web.Application)
        else web.ServerRunner(handler, shutdown_timeout=0.1)
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def settings_tree(
    public_url: str, api: Api, frameio_url: str, tool_url: str, *, client_secret: str | None, keys: Sequence[str]
) -> dict[str, Any]:
    """The configuration file of a stage, as a tree."""
    dialect = V2 if api == "v2" else V4
    tree: dict[str, Any] = {
        "public_url": public_url,
        "listen": f"127.0.0.1:{public_url.rpartition(':')[2]}",
        "frameio": {
            "api": api,
            "client_id": "studio",
            "authorize_url": frameio_url + dialect.authorize,
            "token_url": frameio_url + dialect.token,
            "revoke_url": frameio_url + dialect.revoke,
            "api_url": frameio_url,
        },
        "session": {"secret": list(keys)},
        "upstreams": {"/": tool_url},
        "access": {"allow": ["everyone"]},
        "admin": {"listen": "127.0.0.1:0"},
        "log": {"access": "false"},
    }
    if client_secret is not None:
        tree["frameio"]["client_secret"] = client_secret
    return tree


def _merged(tree: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(tree)
    for key, value in changes.items():
        below = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping) and key not in ("upstreams", "headers")
        merged[key] = _merged(below, value) if both and below is not None else value
    return merged


@asynccontextmanager
async def on_stage(
    *,
    api: Api = "v2",
    client_secret: str | None = SECRET,
    tool: web.Application | None = None,
    clock: Clock | None = None,
    frameio: Mapping[str, Any] | None = None,
    app: Mapping[str, Any] | None = None,
    **changes: Any,
) -> AsyncIterator[Stage]:
    """A stage whose configuration is the plain one with `changes` merged in (upstreams and headers replaced).

    In `changes` the text TOOL and FRAMEIO stand for those two's URLs. `frameio` goes to the emulator, `app`
    is merged into the configuration's frameio section.
    """
    clock = clock or Clock()
    emulator = FrameIO(clock, **{"calls_per_minute": 100_000, **(frameio or {})})
    seen: Counter[str] = Counter()
    application = tool or demo_tool(api)

    async def count(request: web.Request, response: web.StreamResponse) -> None:
        seen[request.raw_path] += 1

    application.on_response_prepare.append(count)
    async with serving(emulator.app()) as frameio_url, serving(application) as tool_url:
        public_url = f"http://localhost:{free_port()}"
        emulator.register(App("studio", client_secret, (f"{public_url}/oauth2/callback",), api=api))
        keys = [a_secret()]
        plain = settings_tree(public_url, api, frameio_url, tool_url, client_secret=client_secret, keys=keys)
        text = yaml.safe_dump(_merged(plain, {"frameio": app or {}, **changes}))
        text = text.replace("TOOL", tool_url).replace("FRAMEIO", frameio_url)
        settings = parse(text, filename="stage.yaml", environ={}, folder=Path.cwd())
        async with running(settings, sys.stderr, clock) as up:
            yield Stage(
                public_url,
                up.proxy,
                f"http://{up.admin}",
                emulator,
                frameio_url,
                clock,
                keys,
                settings,
                up.listen.port,
                seen,
            )


@asynccontextmanager
async def replica(stage: Stage, **changes: object) -> AsyncIterator[Stage]:
    """The same stage, seen through one more proxy with these settings changed; it listens on a port of its own."""
    elsewhere: dict[str, object] = {"listen": Listen("127.0.0.1", 0), **changes}
    if stage.settings.tool_api:
        elsewhere["tool_api"] = ToolApi(listen=f"127.0.0.1:{free_port()}")
    settings = stage.settings.model_copy(update=elsewhere)
    async with running(settings, sys.stderr, stage.clock) as up:
        yield replace(
            stage, proxy=up.proxy, admin_url=f"http://{up.admin}", listens_on=up.listen.port, settings=settings
        )
