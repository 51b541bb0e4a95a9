"""Whatever a visitor says about who they are, the tool hears it from us alone."""

import re

import pytest

from oauth_proxy import believed
from tests.support.raw_http import HANDSHAKE, Login, Wire, saying, wired
from tests.tally import tried

OURS = ["Authorization", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Preferred-Username"]
CONNECTIONS = ["X-Request-Id", "Proxy-Authorization", "Proxy-Connection"]
BELIEVED = [name.replace("*", "user").title() for names, _ in believed.table() for name in names]
CARRIED = ["Grpc-Metadata-X-Forwarded-User", "Grpc-Metadata-Remote-User", "$WSRU"]
EVIL = "evil-value"


def spellings(name: str) -> list[str]:
    """The name as other servers, and CGI, WSGI and PHP tools, might read it."""
    return [
        name, name.lower(), name.upper(), name.swapcase(),
        name.replace("-", "_"), name.replace("-", "_").upper(), name.replace("-", "_", 1), name.replace("-", "."),
        f"{name[:2]}{name[2:].replace('-', '_')}".lower(),
    ]  # fmt: skip


FORGED = [
    f"{spelling}: {EVIL}"
    for name in (*OURS, *CONNECTIONS, *BELIEVED, *CARRIED)
    for spelling in dict.fromkeys(spellings(name))
]
BATCHES = [FORGED[at : at + 100] for at in range(0, len(FORGED), 100)]
REQUESTS = [
    ("GET", "/page"),
    ("HEAD", "/page"),
    ("OPTIONS", "/page"),
    ("POST", "/page"),
    ("DELETE", "/page"),
    ("PROPFIND", "/page"),
]


def forged(wire: Wire) -> list[str]:
    """The names under which a forged value reached the tool."""
    return [name for heard in wire.tool.heard for name, value in heard.lines if EVIL in name + value]


def assert_ours_alone(wire: Wire, times: int) -> None:
    assert len(wire.tool.heard) == times
    assert not forged(wire)
    for heard in wire.tool.heard:
        [bearer] = heard.all("Authorization")
        assert re.fullmatch(r"Bearer [\w.-]{40,}", bearer)
        assert heard.all("X-Forwarded-Email") == ["editor@studio.example.com"]
        assert heard.all("X-Forwarded-Preferred-Username") == ["Editor"]
        assert len(heard.all("X-Forwarded-User")) == 1


@pytest.mark.parametrize(("method", "target"), REQUESTS)
async def test_no_spelling_of_an_identity_header_reaches_the_tool(
    wire: Wire, editor: Login, method: str, target: str
) -> None:
    for batch in tried(BATCHES):
        assert (await wire.ask(target, editor.cookie, *batch, method=method)).status == 200
    assert_ours_alone(wire, len(BATCHES))


@pytest.mark.parametrize(
    ("method", "target"), [("GET", "/healthz"), ("GET", "/assets/a"), ("HEAD", "/assets/a"), ("POST", "/hook")]
)
async def test_nothing_is_believed_on_a_public_path_either(
    wire: Wire, editor: Login, method: str, target: str
) -> None:
    for cookie in ([], [editor.cookie]):
        for batch in tried(BATCHES):
            assert (await wire.ask(target, *cookie, *batch, method=method)).status == 200
    assert not forged(wire)
    assert not any(heard.all(name) for heard in wire.tool.heard for name in OURS)


async def test_the_tools_own_errors_are_asked_for_as_strictly(wire: Wire, editor: Login) -> None:
    wire.tool.says = saying(status="404 Not Found")
    assert (await wire.ask("/nowhere", editor.cookie, *BATCHES[0])).status == 404
    assert_ours_alone(wire, 1)


async def test_a_websocket_handshake_carries_ours_alone(wire: Wire, editor: Login) -> None:
    for batch in tried(BATCHES):
        reader_answers = await wire.handshake("/socket", editor.cookie, *batch)
        assert reader_answers.status == 101
    assert_ours_alone(wire, len(BATCHES))


async def test_strangers_headers_change_nothing_without_a_session(wire: Wire) -> None:
    for method, target in REQUESTS:
        for lines in tried(([], HANDSHAKE)):
            assert (
                await wire.send(wire.request(target, *lines, *BATCHES[0], "Connection: close", method=method))
            )[0].status == 401
    assert not wire.tool.heard


async def test_connection_cannot_name_our_headers_away(wire: Wire, editor: Login) -> None:
    named = [
        f"Connection: close, {', '.join(OURS)}",
        "Connection: cookie, host, content-length, X-Forwarded-For, x-forwarded-host",
        "connection: X_Forwarded_User, x-request-id", "Keep-Alive: X-Forwarded-User",
        "Proxy-Connection: Authorization",
    ]  # fmt: skip
    lines = ["X-Mine: kept", "X-Hop: struck", "Connection: X-Hop", *named]
    assert (
        await wire.ask("/page", f"{editor.cookie}; theirs=1", *lines, method="POST", body=b"12345")
    ).status == 200
    assert_ours_alone(wire, 1)
    [heard] = wire.tool.heard
    assert heard.body == b"12345"
    assert heard.all("Cookie") == ["theirs=1"]
    assert heard.all("Host") == heard.all("X-Forwarded-Host") == [wire.host]
    assert heard.all("X-Forwarded-For") == ["127.0.0.1"]
    assert heard.all("X-Mine") == ["kept"]
    assert not heard.all("X-Hop")
    assert not heard.all("Connection")


async def test_a_value_that_cannot_be_told_apart_from_a_forged_one_is_ours_for_custom_names_too() -> None:
    async with wired(headers={"X-Editor-Mail": "{email}"}) as wire:
        for spelling in tried(spellings("X-Editor-Mail")):
            await wire.ask("/healthz", f"{spelling}: {EVIL}")
        assert not forged(wire)
        await wire.ask("/healthz", "Authorization: Basic mine", "X-Editor-Phone: kept")
        assert wire.tool.heard[-1].all("Authorization") == ["Basic mine"], "nobody asked us to write that one"
        assert wire.tool.heard[-1].all("X-Editor-Phone") == ["kept"]


async def test_a_trailer_never_becomes_a_header(wire: Wire, editor: Login) -> None:
    trailers = "".join(f"{name}: {EVIL}\r\n" for name in OURS)
    chunked = f"5\r\nhello\r\n0\r\n{trailers}\r\n".encode()
    head = wire.request(
        "/page",
        editor.cookie,
        "Transfer-Encoding: chunked",
        "Connection: close",
        "Trailer: Authorization",
        method="POST",
    )
    assert [answer.status for answer in await wire.send(head + chunked)] == [200]
    assert_ours_alone(wire, 1)
    assert wire.tool.heard[0].body == b"hello"


async def test_the_leftmost_x_forwarded_for_is_never_the_client(wire: Wire, editor: Login) -> None:
    for value in tried(("10.0.0.1", "127.0.0.1, 10.0.0.1", "fe80::1%evil", "unknown", "10.0.0.1\xe9")):
        await wire.ask("/page", editor.cookie, f"X-Forwarded-For: {value}", f"X_Forwarded_For: {value}")
    assert [heard.all("X-Forwarded-For") for heard in wire.tool.heard] == [["127.0.0.1"]] * 5


@pytest.mark.parametrize(
    "hop", ["fe80::1%evil", "fe80::1%\u00e9", "fe80::1% a b", "fe80::1%1, 10.0.0.1x", "10.0.0.1\u00b2"]
)
async def test_what_a_trusted_proxy_passes_on_is_an_address_or_nothing(hop: str) -> None:
    async with wired(trusted_proxies=["127.0.0.1"]) as wire:
        assert (await wire.ask("/healthz", f"X-Forwarded-For: 1.2.3.4, {hop}")).status == 200
        assert (await wire.ask("/healthz", f"X-Forwarded-For: {hop}, 1.2.3.4")).status == 200
        assert [heard.all("X-Forwarded-For") for heard in wire.tool.heard] == [
            ["127.0.0.1"],
            ["1.2.3.4, 127.0.0.1"],
        ]


async def test_hops_without_end_are_read_to_a_bound_from_the_right() -> None:
    async with wired(trusted_proxies=["127.0.0.0/8"]) as wire:
        for before, after in (
            ("127.0.0.2," * 6_000, ""),
            ("," * 60_000, ""),
            ("127.0.0.2," * 3_000, "," * 30_000),
        ):
            assert (
                await wire.ask("/healthz", f"X-Forwarded-For: {before}10.0.0.7,127.0.0.3{after}")
            ).status == 200
        told = [heard.all("X-Forwarded-For") for heard in wire.tool.heard]
        assert told == [["10.0.0.7, 127.0.0.3, 127.0.0.1"]] * 2 + [["127.0.0.1"]]
        await wire.ask("/healthz", f"X-Forwarded-For: {'127.0.0.2,' * 6_000}127.0.0.3")
        [hops] = wire.tool.heard[-1].all("X-Forwarded-For")
        assert len(hops.split(", ")) <= 64


async def test_without_trusted_proxies_nobodys_forwarded_headers_count(wire: Wire) -> None:
    """The default: an empty list trusts nobody, loopback included."""
    answer = await wire.ask("/oauth2/auth", "X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1")
    assert answer.status == 401
    await wire.ask("/healthz", "X-Forwarded-For: 10.0.0.1")
    assert wire.tool.heard[0].all("X-Forwarded-For") == ["127.0.0.1"]
