"""The tool behind the proxy is not the proxy: what it says of sessions, or in our name, reaches nobody."""

from tests.support.raw_http import Heard, Login, Wire, saying

CLAIMED = [
    "X-OAuth-Proxy: answer",
    "Set-Cookie: oauth_proxy=1.planted; Path=/",
    "Set-Cookie: __Host-oauth_proxy=1.planted; Path=/; Secure",
    "set-cookie: oauth_proxy-1=planted",
]
KEPT = ["Set-Cookie: theirs=1; Path=/", "X-Theirs: kept"]


def claimed(lines: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [line for line in lines if "planted" in line[1] or line[0].lower() == "x-oauth-proxy"]


async def test_no_answer_of_the_tool_sets_a_cookie_of_ours_or_bears_our_mark(wire: Wire, editor: Login) -> None:
    for status in ("200 OK", "304 Not Modified", "401 Unauthorized", "302 Found", "500 Oops"):
        wire.tool.says = saying(*CLAIMED, *KEPT, status=status)
        for method, target, lines in (
            ("GET", "/page", [editor.cookie]),
            ("HEAD", "/page", [editor.cookie]),
            ("POST", "/page", [editor.cookie]),
            ("GET", "/assets/a", []),
        ):
            answer = await wire.ask(target, *lines, method=method)
            assert answer.status == int(status[:3])
            assert not claimed(answer.headers)
            assert "theirs=1; Path=/" in answer.all("Set-Cookie")
            assert answer.all("X-Theirs") == ["kept"]


async def test_an_interim_answer_and_a_trailer_of_the_tool_set_nothing(wire: Wire, editor: Login) -> None:
    lines = "".join(f"{line}\r\n" for line in CLAIMED)
    early = f"HTTP/1.1 103 Early Hints\r\n{lines}\r\n"
    chunked = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n{lines}\r\n"

    def says(_: Heard) -> bytes:
        return (early + chunked).encode()

    wire.tool.says = says
    raw = await wire.stage.raw(wire.request("/page", editor.cookie, "Connection: close"))
    assert raw.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"planted" not in raw
    assert b"x-oauth-proxy" not in raw.lower()


async def test_a_websockets_answer_sets_nothing_of_ours_either(wire: Wire, editor: Login) -> None:
    wire.tool.with_101 = (*CLAIMED, *KEPT)
    answer = await wire.handshake("/socket", editor.cookie)
    assert answer.status == 101
    assert not claimed(answer.headers)
    assert "theirs=1; Path=/" in answer.all("Set-Cookie")
