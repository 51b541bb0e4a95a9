"""A tool with a form, which keeps every body that it gets, and can be away."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.support.proxy import Stage, free_port, on_stage

_BOUNDARY = re.compile(rb"^--([^\r]+)\r\n")


@dataclass(frozen=True)
class Sent:
    """One POST as the tool got it."""

    target: str
    content_type: str
    body: bytes
    user: str
    origin: str

    @property
    def comparable(self) -> tuple[str, str, str, bytes]:
        """Target, origin, type and body, with the boundary replaced, which a browser draws anew for each body."""
        kind = self.content_type.partition(";")[0]
        found = _BOUNDARY.match(self.body) if kind == "multipart/form-data" else None
        return (
            self.target,
            self.origin,
            kind,
            self.body if found is None else self.body.replace(found[1], b"BOUNDARY"),
        )


@dataclass
class FormTool:
    """Shows `page` to every GET, and keeps every POST."""

    page: bytes = b""
    charset: str = "utf-8"
    hangs_up: bool = False
    """It takes what is sent, and hangs up instead of an answer."""
    answers: bool = True
    """If not, it lets everybody wait."""
    sent: list[Sent] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    _runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._serve), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if not self.answers:
            await asyncio.Event().wait()
        if request.method != "POST":
            head = b"<!doctype html><title>A form</title><link rel=icon href=data:,>"
            return web.Response(
                body=head + self.page, headers={"Content-Type": f"text/html; charset={self.charset}"}
            )
        user, origin = request.headers.get("X-Forwarded-User", ""), request.headers.get("Origin", "")
        sent = Sent(request.raw_path, request.headers["Content-Type"], await request.read(), user, origin)
        self.sent.append(sent)
        if self.hangs_up:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(text="<!doctype html><title>Received</title>", content_type="text/html")


@asynccontextmanager
async def a_form(
    page: str = "", *, charset: str = "utf-8", patience: str = "30s", **changes: Any
) -> AsyncIterator[tuple[Stage, FormTool]]:
    """A stage with that tool, which may take `patience` to answer; `changes` are those of its configuration."""
    tool = FormTool(page.encode(charset), charset)
    await tool.start()
    try:
        async with on_stage(upstreams={"/": {"url": tool.url, "timeout": patience}}, **changes) as stage:
            yield stage, tool
    finally:
        await tool.stop()
