"""A tool that does not know where it lies, with `rewrite: true`."""

from tests.support.browser import Visitor
from tests.support.raw_http import Tool, saying, wired
from tests.tally import tried

MOVES = (
    "Location: /login",
    "Set-Cookie: theirs=1; Path=/",
    "Set-Cookie: oauth_proxy=forged; Path=/",
    "X-OAuth-Proxy: answer",
)


async def test_a_moved_tools_redirects_and_cookies_fit_where_visitors_find_it(visitor: Visitor) -> None:
    tool = Tool()
    async with tool.listening() as url, wired(upstreams={"/st/": {"url": url, "rewrite": "true"}}) as wire:
        cookie = (await wire.login(visitor, "/oauth2/start")).cookie
        tool.says, tool.with_101 = saying(*MOVES, status="302 Found"), MOVES
        for method, body in tried((("GET", b""), ("POST", b"a=b"))):
            answer = await wire.ask("/st/x", cookie, method=method, body=body)
            assert answer.get("Location") == f"{wire.origin}/st/login"
            assert "theirs=1; Path=/st/" in answer.all("Set-Cookie")
            assert not [line for line in answer.all("Set-Cookie") if "forged" in line]
            assert answer.get("X-OAuth-Proxy") is None
        switched = await wire.handshake("/st/socket", cookie)
        assert (switched.status, switched.all("Set-Cookie")[:1]) == (101, ["theirs=1; Path=/st/"])
        chunked = wire.request("/st/x", cookie, "Transfer-Encoding: chunked", method="POST")
        async with wire.connected() as (reader, writer):
            writer.write(chunked)
            await writer.drain()
            writer.write(b"1\r\na\r\n0\r\n\r\n")
            assert f"Location: {wire.origin}/st/login".encode() in await reader.readuntil(b"\r\n\r\n")


async def test_without_it_nothing_is_rewritten(visitor: Visitor) -> None:
    tool = Tool()
    async with tool.listening() as url, wired(upstreams={"/st/": url}) as wire:
        cookie = (await wire.login(visitor, "/oauth2/start")).cookie
        tool.says = saying("Location: /login", "Set-Cookie: theirs=1; Path=/", status="302 Found")
        answer = await wire.ask("/st/x", cookie)
        assert (answer.get("Location"), answer.all("Set-Cookie")[0]) == ("/login", "theirs=1; Path=/")
