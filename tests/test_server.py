"""aiohttp's server with our limits: what happens when an answer itself fails."""

import asyncio

import pytest
from aiohttp import web

from oauth_proxy.errors import BadRequest
from oauth_proxy.outcomes import Outcome
from oauth_proxy.protocol import Handler, Refusal
from oauth_proxy.server import Server
from tests.cast import PATIENCE, serving


def unheard(request: web.BaseRequest, outcome: Outcome, seconds: float) -> None:
    """Nothing is written."""


def refused(request: web.BaseRequest, error: BadRequest) -> Outcome:
    return Outcome(web.Response(status=error.status))


async def unused(request: web.BaseRequest) -> Outcome:
    return Outcome(web.Response(text="unused"))


async def said(handler: Handler, refusal: Refusal, sent: bytes) -> bytes:
    async with serving(Server(handler, refusal=refusal, answered=unheard)) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(sent)
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
        writer.close()
        return answer


async def test_a_fault_after_an_answer_has_begun_cuts_the_connection() -> None:
    async def begins(request: web.BaseRequest) -> Outcome:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        raise ZeroDivisionError

    answer = await said(begins, refused, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.endswith(b"half\r\n"), "there is no last chunk, so nobody takes it for the whole"


async def test_a_refusal_that_fails_is_one_line_and_a_closed_connection(caplog: pytest.LogCaptureFixture) -> None:
    def fails(request: web.BaseRequest, error: BadRequest) -> Outcome:
        raise ZeroDivisionError

    assert await said(unused, fails, b"nonsense\r\n\r\n") == b""
    assert "a connection failed: ZeroDivisionError" in caplog.text
    assert "Traceback" not in caplog.text
