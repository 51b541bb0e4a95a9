"""A stop: who is told, in which order, and who loses nothing."""

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from aiohttp import ClientSession

from oauth_proxy.demo.faults import Fault
from tests.support.browser import Visitor
from tests.support.command import said
from tests.support.processes import processes, told, waiting_tool
from tests.support.sessions import new_cookie_line, signed_in
from tests.support.tool import until
from tests.support.units import HOUR, PATIENCE


async def test_every_client_that_keeps_its_connection_is_told_before_it_is_closed(
    tmp_path: Path, visitor: Visitor
) -> None:
    async with processes(tmp_path, drain_delay="1s", workers=2) as proxies, AsyncExitStack() as stack:
        cookie = await signed_in(proxies.stage, visitor)
        headers = {"Host": f"localhost:{proxies.stage.port}", "Cookie": cookie.removeprefix("Cookie: ")}
        kept = [
            await stack.enter_async_context(
                ClientSession(connector=aiohttp.TCPConnector(limit=1), headers=headers)
            )
            for _ in range(50)
        ]

        async def ask(http: ClientSession) -> str | None:
            async with http.post(f"{proxies.url}/echo", data=b"typed") as answer:
                await answer.read()
                assert answer.status == 200
                return answer.headers.get("Connection")

        assert set(await asyncio.gather(*map(ask, kept))) == {None}
        proxies.process.terminate()
        await proxies.unready()
        assert set(await asyncio.gather(*map(ask, kept))) == {"close"}
        assert await proxies.ended() == 0


async def test_a_request_on_its_way_when_the_stop_comes_is_answered(tmp_path: Path, visitor: Visitor) -> None:
    """An idle connection stays for a moment, because its next request may have been sent already."""
    async with processes(tmp_path) as proxies:
        cookie = await signed_in(proxies.stage, visitor)
        reader, writer = await asyncio.open_connection("127.0.0.1", proxies.stage.listens_on)
        request = f"GET /echo HTTP/1.1\r\nHost: localhost:{proxies.stage.port}\r\n{cookie}\r\n\r\n".encode()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        proxies.process.terminate()
        await proxies.unready()
        writer.write(request)
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nConnection: close\r\n" in answer
        writer.close()
        assert await proxies.ended() == 0


async def test_an_idle_connection_does_not_hold_a_stop_up(tmp_path: Path) -> None:
    async with processes(tmp_path, command=told(parent__OVERTIME=600.0)) as proxies:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxies.stage.listens_on)
        await proxies.metrics()
        proxies.process.terminate()
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""
        writer.close()
        assert await proxies.ended() == 0


async def test_a_request_that_takes_longer_than_drain_is_cut(tmp_path: Path) -> None:
    tool, asked, _ = waiting_tool()
    access = {"allow": ["everyone"], "public": ["/open"]}
    async with processes(tmp_path, tool=tool, access=access, drain="1s") as proxies:
        asking = asyncio.create_task(proxies.stage.ask("/open"))
        await asked.wait()
        proxies.process.send_signal(signal.SIGTERM)
        assert await proxies.ended() == 0
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def test_a_websocket_is_told_that_the_proxy_goes_away(tmp_path: Path, visitor: Visitor) -> None:
    async with processes(tmp_path, workers=2) as proxies, ClientSession() as http:
        cookie = await signed_in(proxies.stage, visitor)
        site = f"localhost:{proxies.stage.port}"
        headers = {"Host": site, "Cookie": cookie.removeprefix("Cookie: "), "Origin": f"http://{site}"}
        async with http.ws_connect(f"{proxies.url}/clock", headers=headers) as socket:
            await socket.receive_str()
            proxies.process.terminate()
            async with asyncio.timeout(PATIENCE):
                while (message := await socket.receive()).type == aiohttp.WSMsgType.TEXT:
                    continue
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.GOING_AWAY)
        assert await proxies.ended() == 0


async def test_a_refresh_under_way_is_finished_before_the_end(tmp_path: Path, visitor: Visitor) -> None:
    async with processes(tmp_path, frameio={"access_lifetime": 2}) as proxies:
        stage = proxies.stage
        cookie = await signed_in(stage, visitor)
        stage.frameio.set_access_lifetime(HOUR)
        await asyncio.sleep(2)
        stage.frameio.faults.plan("token:refresh_token", Fault.HANG)
        asking = asyncio.create_task(stage.ask("/echo", cookie))
        async with asyncio.timeout(PATIENCE):
            await stage.frameio.faults.hanging(1)
        proxies.process.terminate()
        await proxies.unready()
        stage.frameio.faults.clear()
        answer = await asking
        assert answer.status == 200
        assert new_cookie_line(answer) != cookie
        assert await proxies.ended() == 0


async def test_a_reload_that_waits_for_its_outcome_is_told_of_the_stop(tmp_path: Path) -> None:
    """Its connection was closed, as if something else listened there."""
    async with processes(tmp_path) as proxies:
        [before] = proxies.workers
        reloading = asyncio.create_task(asyncio.to_thread(said, "reload", proxies.file))
        await until(lambda: len(proxies.workers) == 2)
        [coming] = set(proxies.workers) - {before}
        os.kill(coming, signal.SIGSTOP)  # it will not be ready before the stop
        proxies.process.terminate()
        done = await reloading
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"the proxy at {proxies.admin} refuses: it is stopping. Run this again shortly\n"
        assert await proxies.ended() == 0
