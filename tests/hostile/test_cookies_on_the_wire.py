"""The Cookie header as an attacker writes it: planted, doubled, swapped, cut, stale, or too much."""

import base64
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from oauth_proxy.cookies import Cookies, SealedCookie
from oauth_proxy.headers import Fields
from oauth_proxy.identity import Identity, Session, Tokens, encode
from oauth_proxy.seal import Sealer
from tests.support.browser import NAVIGATING, Visitor
from tests.support.proxy import a_secret
from tests.support.raw_http import TOOL_BYTES, Login, Wire, location, saying
from tests.support.units import DAY, HOUR
from tests.tally import tried

NAME = "oauth_proxy"


def session_of(login: Login) -> str:
    """The one cookie of a session that fits into one."""
    [value] = [value for name, value in login.values.items() if name.endswith(NAME)]
    return value


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The texts that were tried to open, while the context lasts."""
    opened: list[str] = []
    real = Sealer.open

    def spying(self: Sealer, text: str, context: str = "") -> bytes:
        opened.append(text)
        return real(self, text, context)

    with monkeypatch.context() as patch:
        patch.setattr(Sealer, "open", spying)
        yield opened


@pytest.mark.parametrize(
    "between", [" ", "\t", "\x0b", "\x0c", "\u00a0", "\u2003", ",", ", ", "&", "=", "\x85", "\\"]
)
async def test_only_a_semicolon_begins_a_cookie_so_a_neighbours_cookie_cannot_carry_ours_in_its_value(
    https: Wire, visitor: Visitor, between: str
) -> None:
    login = await https.login(visitor)
    real = f"__Host-{NAME}={session_of(login)}"
    planted = await https.ask("/page", f"Cookie: foo=bar{between}{real}")
    assert planted.status in ((400, 401) if between in "\x0b\x0c" else (401,))
    assert not https.tool.heard
    assert (await https.ask("/page", f"Cookie: foo=bar; {real}")).status == 200
    assert (await https.ask("/page", f"Cookie: foo=bar;\t{real} ")).status == 200


async def test_only_the_exact_name_is_ours(https: Wire, visitor: Visitor) -> None:
    value = session_of(await https.login(visitor))
    for name in tried((
        NAME, f"__Secure-{NAME}", f"__host-{NAME}", f"__HOST-{NAME}", f"__Host-{NAME.upper()}",
        f" __Host-{NAME} x", f"__Host-{NAME} ", f"__Host-{NAME}\x00", f'"__Host-{NAME}"', f"$__Host-{NAME}",
        f"__Host-{NAME}-0",
    )):  # fmt: skip
        assert (await https.ask("/page", f"Cookie: {name}={value}")).status in (400, 401), name
    assert not https.tool.heard


async def test_a_name_of_ours_that_stands_twice_is_not_believed(wire: Wire, editor: Login) -> None:
    real = f"{NAME}={session_of(editor)}"
    for lines in tried(
        (
            [f"Cookie: {real}; {real}"],
            [f"Cookie: {real}; {NAME}=planted"],
            [f"Cookie: {NAME}=planted; {real}"],
            [f"Cookie: {NAME}; {real}"],
            [f"Cookie: {real}", f"Cookie: {real}"],
            [f"Cookie: {NAME}=planted", f"Cookie: {real}"],
            [f"Cookie: {real}; a=b; {real}; {real}"],
            [f"Cookie: {real}", f"cookie: {NAME}="],
        )
    ):
        assert (await wire.ask("/page", *lines)).status == 401, lines
    assert not wire.tool.heard


async def test_all_cookie_lines_are_read_and_the_tools_pass_in_order(wire: Wire, editor: Login) -> None:
    lines = ["Cookie: a=1; b=2", f"Cookie: {NAME}={session_of(editor)}", "cookie: c=3", f"COOKIE: {NAME}-x=y;d=4"]
    assert (await wire.ask("/page", *lines)).body == TOOL_BYTES
    assert wire.tool.heard[0].all("Cookie") == ["a=1; b=2", "c=3", "d=4"]


ODD = [
    ";", "=", ";;", "; ;", "=;=", "=a", "a", "a=", "a==b", "a=b;;c=d;", ";a=b", '"', 'a="b; c"', 'a="',
    "a=b; A=c; a=d", "$Version=1; a=b; $Path=/", "a=b,c=d", "a= b ; c =d", "a=\x80\xff", "caf\u00e9=\u2003",
    "a=%3b%0d%0a", "a={}[]()<>@\\/?", "__Host-x=y; __Secure-z=1", "oauth_proxyish=1", "my_oauth_proxy=2",
    "x=oauth_proxy=3", "OAUTH_PROXY=4", "a=\t;\tb=",
]  # fmt: skip


async def test_the_tools_cookies_reach_it_byte_for_byte_however_odd_and_ours_never_do(
    wire: Wire, editor: Login
) -> None:
    value = session_of(editor)
    for theirs in tried(ODD):
        assert (await wire.ask("/page", f"Cookie: {theirs}", f"Cookie: {NAME}={value}")).status == 200, theirs
        heard = wire.tool.heard.pop()
        assert [line.encode("latin-1") for line in heard.all("Cookie")] == [theirs.strip("\t ").encode()], theirs
        assert (await wire.ask("/page", f"Cookie: {NAME}={value}; {theirs}; {NAME}-7=x")).status == 200, theirs
        heard = wire.tool.heard.pop()
        assert value.encode() not in heard.raw
        assert b"; ".join([theirs.strip("\t ").encode()]).strip(b"\t ;") in heard.raw
        assert not [name for name in heard.all("Cookie") if name.startswith(f"{NAME}=")]


async def test_a_crafted_cookie_header_makes_a_stranger_and_no_fault(wire: Wire) -> None:
    for crafted in tried(
        (
            *ODD,
            "",
            f"{NAME}",
            f"{NAME}=",
            f"{NAME}==",
            f"{NAME}=;{NAME}-1=",
            f'{NAME}="1.AAAA"',
            f"{NAME}=1.\xff",
        )
    ):
        answer = await wire.ask("/page", f"Cookie: {crafted}")
        assert answer.status == 401, crafted
        assert not answer.all("Set-Cookie")
    assert not wire.tool.heard


COUNTS = [
    "0",
    "00",
    "01",
    "-1",
    "+1",
    "1e9",
    "1_0",
    " 1",
    "17",
    "99",
    "100",
    "99999999",
    "9" * 400,
    "0x2",
    "\u0663",
    "\u00b2",
    "2.5",
    "",
    "NaN",
    "1.1",
]


async def test_a_count_of_pieces_sizes_no_work(wire: Wire, editor: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = session_of(editor).partition(".")[2]
    with counted(monkeypatch) as opened:
        for count in tried(COUNTS):
            assert (await wire.ask("/page", f"Cookie: {NAME}={count}.{sealed}")).status == 401, count
        assert not [text for text in opened if text != sealed]
        assert len(opened) <= 1
        login = await wire.ask("/page", *NAVIGATING, f"Cookie: {NAME}=99999999.{sealed}")
    assert location(login).startswith(f"{wire.origin}/oauth2/start"), "a fresh login, at once"
    assert (await wire.ask("/page", f"Cookie: {NAME}=1.{sealed}")).status == 200


async def test_ten_thousand_cookies_are_bounded_work_and_a_bounded_answer(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: list[Callable[[int], str]] = [
        lambda n: f"c{n}=", lambda n: f"{NAME}-{n}=x", lambda n: f"{NAME}-login-{n:08}=x", lambda n: f"{NAME}=",
        lambda n: "",
    ]  # fmt: skip
    for name in named:
        pairs = [name(n) for n in range(10_000)]
        for size in (1500, 10_000):
            lines = [f"Cookie: {';'.join(pairs[at : at + 1000])}" for at in range(0, size, 1000)]
            for target in tried(("/page", "/oauth2/start", "/oauth2/callback?state=x", "/oauth2/sign_out")):
                with counted(monkeypatch) as opened:
                    answer = await wire.ask(target, *NAVIGATING, *lines)
                assert answer.status in (200, 302, 403, 431)
                assert len(opened) <= 200, (target, name(1))
                assert len(answer.all("Set-Cookie")) <= 200, (target, name(1))
    assert not wire.tool.heard


@pytest.mark.parametrize("pair", [";", "; ", "a;", "=;", f"{NAME};", f"{NAME}-1=x;"])
async def test_more_cookies_than_a_browser_keeps_are_refused_before_one_of_them_is_looked_at(
    wire: Wire, editor: Login, monkeypatch: pytest.MonkeyPatch, pair: str
) -> None:
    looked_at: list[bytes] = []
    is_ours = Cookies.is_ours

    def looking(self: Cookies, name: bytes) -> bool:
        looked_at.append(name)
        return is_ours(self, name)

    monkeypatch.setattr(Cookies, "is_ours", looking)
    ours, many = editor.cookie.removeprefix("Cookie: "), pair * (60_000 // len(pair))
    for lines in (
        [f"Cookie: {ours};{many}"],
        [f"Cookie: {many}{ours}"],
        [f"Cookie: {ours};{many}", "Cookie: b=c"],
    ):
        answer = await wire.ask("/page", *lines)
        assert (answer.status, answer.get("Clear-Site-Data")) == (431, '"cookies"')
    assert not looked_at
    assert not wire.tool.heard
    honest = "; ".join(f"c{number}=x" for number in range(400))
    assert (await wire.ask("/page", f"Cookie: {honest}; {ours}")).status == 200
    assert wire.tool.heard[0].all("Cookie") == [honest]
    assert 400 <= len(looked_at) <= 400 + ours.count("=")


async def test_an_attempts_cookie_is_no_session_and_a_session_no_attempt(wire: Wire, visitor: Visitor) -> None:
    login = await wire.login(visitor)
    name, _, attempt = login.attempt.removeprefix("Cookie: ").partition("=")
    session = session_of(login)
    for value in tried((attempt, f"1.{attempt}", f"1.{attempt}.{attempt}")):
        assert (await wire.ask("/page", f"Cookie: {NAME}={value}")).status == 401
    redeemed = wire.stage.frameio.calls["token"]
    for value in tried((session, session.partition(".")[2], "")):
        answer = await wire.ask(login.callback, f"Cookie: {name}={value}")
        assert answer.status == 403
        assert not [
            line for line in answer.all("Set-Cookie") if line.startswith(f"{NAME}=") and "Max-Age=0" not in line
        ]
    assert wire.stage.frameio.calls["token"] == redeemed


async def test_a_session_under_any_other_name_is_nobodys(wire: Wire, editor: Login) -> None:
    value = session_of(editor)
    for name in tried((f"{NAME}-1", f"{NAME}-login-AAAAAAAA", f"{NAME}-tries", "session", f"__Host-{NAME}")):
        assert (await wire.ask("/page", f"Cookie: {name}={value}")).status == 401
    assert not wire.tool.heard
    assert (await wire.ask("/page", f"Cookie: {NAME}={value}")).status == 200


def forged(
    wire: Wire, *, purpose: str = "session", name: str = NAME, secret: str | None = None, age: float = 0
) -> str:
    """A Cookie line for a session that was sealed for this purpose, under this name, and so long ago (seconds)."""
    now = wire.stage.clock() - age
    tokens = Tokens("access", now, wire.stage.clock() + 1000, None)
    who = Identity("somebody", "editor@studio.example.com")
    session = Session("id", who, tokens, created=now, seen=now, profile_at=wire.stage.clock())
    sealer = Sealer([base64.b64decode(secret or wire.stage.keys[0])], purpose)
    return f"Cookie: {NAME}=1.{sealer.seal(encode(session), name)}"


async def test_only_our_key_our_purpose_and_our_name_open_a_session(wire: Wire) -> None:
    assert (await wire.ask("/page", forged(wire))).status == 200, "the forger knows how, given the key"
    for cookie in tried(
        (
            forged(wire, purpose="attempt"),
            forged(wire, name=f"{NAME}-1"),
            forged(wire, name=""),
            forged(wire, secret=a_secret()),
        )
    ):
        assert (await wire.ask("/page", cookie)).status == 401


async def test_a_right_seal_with_an_old_time_inside_is_a_strangers(wire: Wire) -> None:
    assert (await wire.ask("/page", forged(wire, age=0.9 * DAY))).status == 200
    for age in tried((1.1 * DAY, 8 * DAY, 1000 * DAY)):
        assert (await wire.ask("/page", forged(wire, age=age))).status == 401
    cookie = forged(wire)
    wire.stage.clock.advance(1.1 * DAY)
    assert (await wire.ask("/page", cookie)).status == 401


async def test_two_seals_of_one_session_have_nothing_in_common(wire: Wire) -> None:
    first, second = (base64.urlsafe_b64decode(forged(wire).partition("=1.")[2] + "===") for _ in range(2))
    assert first[:4] == second[:4], "the key's own mark"
    assert first[4:16] != second[4:16]
    assert sum(a == b for a, b in zip(first[16:], second[16:], strict=True)) < len(first) / 8


async def test_one_flipped_bit_anywhere_makes_a_stranger(wire: Wire) -> None:
    cookie = forged(wire)
    raw = base64.urlsafe_b64decode(cookie.partition("=1.")[2] + "===")
    flipped = [raw[:at] + bytes([raw[at] ^ 1 << at % 8]) + raw[at + 1 :] for at in range(len(raw))]
    texts = [base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in flipped]
    found = await wire.statuses([wire.request("/page", f"Cookie: {NAME}=1.{text}") for text in texts])
    assert found == [401] * len(raw)
    assert (await wire.ask("/page", cookie)).status == 200


async def test_a_cut_or_lengthened_cookie_makes_a_stranger(wire: Wire) -> None:
    cookie = forged(wire)
    text = cookie.partition("=1.")[2]
    others = (
        [text[:at] for at in range(len(text))]
        + [text[at:] for at in range(1, len(text), 7)]
        + [text + "A", text * 2, "A" + text]
    )
    found = await wire.statuses([wire.request("/page", f"Cookie: {NAME}=1.{each}") for each in others])
    assert found == [401] * len(others)


async def test_pieces_of_two_sessions_do_not_join(wire: Wire) -> None:
    """A session over several cookies: each piece is needed, in its place, and from the same session."""
    cookies = Cookies(NAME, secure=False)
    sealed = SealedCookie(cookies, Sealer([base64.b64decode(wire.stage.keys[0])], "session"), NAME)

    def pieces() -> dict[str, str]:
        now = wire.stage.clock()
        token = base64.b64encode(os.urandom(9000)).decode()
        session = Session("id", Identity("somebody"), Tokens(token, now, now + 1000), now, now)
        lines = sealed.set(encode(session), 60, cookies.read(Fields([])))
        return dict(line.partition(";")[0].split("=", 1) for line in lines)

    one, two = pieces(), pieces()
    names = list(one)
    assert len(names) >= 3

    async def status(jar: dict[str, str]) -> int:
        return (
            await wire.ask("/page", "Cookie: " + "; ".join(f"{name}={value}" for name, value in jar.items()))
        ).status

    assert await status(one) == 200
    assert await status(dict(reversed(one.items()))) == 200, "order makes no difference"
    assert await status(one | {names[1]: two[names[1]]}) == 401
    assert await status(one | {names[1]: one[names[2]], names[2]: one[names[1]]}) == 401
    assert await status({name: value for name, value in one.items() if name != names[1]}) == 401
    assert await status({names[0]: "1." + one[names[0]].partition(".")[2]}) == 401


async def test_the_tools_set_cookie_lines_are_the_visitors_own_and_ours_come_beside_them(
    wire: Wire, editor: Login
) -> None:
    wire.tool.says = saying("Set-Cookie: a=1; Path=/", "Set-Cookie: b=2", "set-cookie: a=3")
    wire.stage.clock.advance(HOUR)
    answer = await wire.ask("/page", editor.cookie)
    theirs = [value for value in answer.all("Set-Cookie") if not value.startswith(NAME)]
    assert theirs == ["a=1; Path=/", "b=2", "a=3"]
    assert [value for value in answer.all("Set-Cookie") if value.startswith(f"{NAME}=")], "the refreshed session"
