"""What somebody typed is given back in the page when the POST of a form cannot be answered; without a browser."""

import asyncio
import html
import json
import re
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from tests.support.browser import Visitor
from tests.support.form_tool import FormTool, a_form
from tests.support.proxy import FORM, RawAnswer, Stage
from tests.support.sessions import cookie_of
from tests.support.units import PATIENCE

WEEK_AND_A_DAY = 8 * 86_400.0
TYPED = b"text=ein+langer+Text%0D%0Azwei&tag=1&tag=2&secret=s3cret"


def sent_by(site: str, dest: str = "document") -> list[str]:
    """What Chromium says of a form that a page of this site has sent."""
    return [
        "Accept: text/html,application/xhtml+xml,*/*;q=0.8",
        f"Sec-Fetch-Site: {site}",
        "Sec-Fetch-Mode: navigate",
        f"Sec-Fetch-Dest: {dest}",
        "Sec-Fetch-User: ?1",
    ]


OURS = sent_by("same-origin")


@pytest.fixture
async def form() -> AsyncIterator[tuple[Stage, FormTool]]:
    async with a_form("<p>A form.") as made:
        yield made


async def post(stage: Stage, *lines: str, body: bytes = TYPED, path: str = "/save?a={x}|%7C") -> RawAnswer:
    return await stage.ask(path, FORM, *lines, method="POST", body=body)


def inputs(page: RawAnswer) -> list[tuple[str, str]]:
    """Names and values of the page's hidden fields."""
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.body.decode())
    return [(html.unescape(name), html.unescape(value)) for name, value in found]


def action(page: RawAnswer) -> str:
    [found] = re.findall(r'<form [^>]*action="([^"]*)"', page.body.decode())
    return html.unescape(found)


def gives_it_back(page: RawAnswer) -> bool:
    return inputs(page) == [
        ("text", "ein langer Text\r\nzwei"),
        ("tag", "1"),
        ("tag", "2"),
        ("secret", "s3cret"),
    ]


def says(page: RawAnswer, text: str) -> bool:
    return text in " ".join(page.body.decode().replace("<wbr>", "").split())


NOT_REACHED, MAYBE = "What you sent has not reached the tool.", "The tool may have received what you sent already."


async def test_whose_session_has_ended_gets_back_what_they_typed_and_sends_it_after_a_login(
    form: tuple[Stage, FormTool],
) -> None:
    stage, tool = form
    cookie = await cookie_of(stage)
    stage.clock.advance(WEEK_AND_A_DAY)
    page = await post(stage, cookie, *OURS)
    assert page.status == 401
    assert gives_it_back(page)
    assert says(page, NOT_REACHED)
    assert page.get("Cache-Control") == "no-store"
    assert "%2Foauth2%2Fsigned_in" in page.body.decode()

    again = await post(stage, await cookie_of(stage), *OURS, path=action(page))
    assert again.status == 307
    assert again.get("Location") == f"{stage.url}/save?a={{x}}|%7C"
    assert again.get("Referrer-Policy") == "same-origin"
    assert not tool.sent
    done = await post(stage, await cookie_of(stage), *OURS)
    assert done.status == 200
    [sent] = tool.sent
    assert (sent.target, sent.body) == ("/save?a={x}|%7C", TYPED)


async def test_somebody_else_who_has_signed_in_meanwhile_is_told_so_first(form: tuple[Stage, FormTool]) -> None:
    stage, tool = form
    cookie = await cookie_of(stage)
    stage.clock.advance(WEEK_AND_A_DAY)
    page = await post(stage, cookie, *OURS)
    other = await cookie_of(stage, "Guest")
    told = await post(stage, other, *OURS, path=action(page))
    assert told.status == 409
    assert gives_it_back(told)
    assert says(told, "guest@")
    assert "editor@studio.example.com" not in told.body.decode()
    assert (await post(stage, other, *OURS, path=action(told))).status == 307
    assert not tool.sent


async def test_who_signs_in_first_is_told_as_whom_they_send_what_was_typed_by_nobody_known(
    form: tuple[Stage, FormTool],
) -> None:
    stage, _ = form
    page = await post(stage, *OURS)
    assert page.status == 401
    assert gives_it_back(page)
    told = await post(stage, await cookie_of(stage), *OURS, path=action(page))
    assert told.status == 409
    assert gives_it_back(told)


async def test_who_sends_it_without_having_signed_in_keeps_it_and_whose_it_is(
    form: tuple[Stage, FormTool],
) -> None:
    stage, _ = form
    cookie = await cookie_of(stage)
    stage.clock.advance(WEEK_AND_A_DAY)
    page = await post(stage, cookie, *OURS)
    again = await post(stage, *OURS, path=action(page))
    assert again.status == 401
    assert gives_it_back(again)
    assert (await post(stage, await cookie_of(stage), *OURS, path=action(again))).status == 307
    assert (await post(stage, await cookie_of(stage, "Guest"), *OURS, path=action(again))).status == 409


async def test_who_was_away_when_the_tool_was_gets_it_back_and_it_has_not_been_sent(
    form: tuple[Stage, FormTool],
) -> None:
    stage, tool = form
    cookie = await cookie_of(stage)
    await tool.stop()
    page = await post(stage, cookie, *OURS)
    assert page.status == 502
    assert gives_it_back(page)
    assert says(page, NOT_REACHED)
    await tool.start()
    assert (await post(stage, cookie, *OURS, path=action(page))).status == 307


async def test_what_the_tool_may_have_received_is_said_to_be_so_and_is_never_sent_by_itself(
    form: tuple[Stage, FormTool],
) -> None:
    stage, tool = form
    cookie = await cookie_of(stage)
    tool.hangs_up = True
    page = await post(stage, cookie, *OURS)
    assert page.status == 502
    assert gives_it_back(page)
    assert says(page, MAYBE)
    assert len(tool.sent) == 1


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_what_another_sites_form_sent_is_not_given_back(form: tuple[Stage, FormTool], site: str) -> None:
    stage, tool = form
    page = await post(stage, *sent_by(site))
    assert page.status == 401
    assert b"<input" not in page.body
    assert b"s3cret" not in page.body
    assert says(page, "This form came from another site") == (site == "cross-site")
    cookie = await cookie_of(stage)
    await tool.stop()
    page = await post(stage, cookie, *sent_by(site))
    assert page.status == 502
    assert b"s3cret" not in page.body
    sealed = action(await post(stage, cookie, *OURS))
    assert (await post(stage, *sent_by(site), path=sealed)).status == 400


async def test_a_browser_without_fetch_metadata_is_believed_by_its_origin(form: tuple[Stage, FormTool]) -> None:
    stage, _ = form
    accept = "Accept: text/html"
    assert gives_it_back(await post(stage, accept, f"Origin: {stage.url}"))
    assert gives_it_back(await post(stage, accept, f"Referer: {stage.url}/form"))
    for line in ("Origin: null", "Origin: https://evil.example", f"Origin: {stage.url}1", "X-Nothing: 1"):
        page = await post(stage, accept, line)
        assert page.status == 401
        assert b"s3cret" not in page.body, line


async def test_a_script_gets_json_and_nothing_back(form: tuple[Stage, FormTool]) -> None:
    stage, _ = form
    for mode in ("cors", "same-origin", "no-cors"):
        answer = await post(stage, "Sec-Fetch-Site: same-origin", f"Sec-Fetch-Mode: {mode}", "Accept: text/html")
        assert answer.status == 401
        assert json.loads(answer.body)["error"] == "sign_in_required"


async def test_who_may_not_enter_gets_it_back_and_a_way_to_be_somebody_else() -> None:
    strict = {"allow": [{"email": "*@elsewhere.example.org"}]}
    async with a_form("", access=strict) as (stage, _), Visitor() as visitor:
        await visitor.login(f"{stage.url}/oauth2/start?rd=/oauth2/sign_in")
        page = await post(stage, visitor.cookie_line(stage.url), *OURS)
    assert page.status == 403
    assert gives_it_back(page)
    assert says(page, "editor@studio.example.com")
    assert says(page, "switch=1")


async def test_a_public_form_is_given_back_too_and_needs_no_login() -> None:
    async with a_form("", access={"allow": ["everyone"], "public": ["POST /save"]}) as (stage, tool):
        await tool.stop()
        page = await post(stage, *OURS)
        assert page.status == 502
        assert gives_it_back(page)
        assert "signed_in" not in page.body.decode()
        assert (await post(stage, *OURS, path=action(page))).status == 307


@pytest.mark.parametrize(
    "body",
    [
        b"text",
        b"a=1&b",
        b"a=b c",
        b"a=%e4",
        b"a=%0A",
        b"a=%00",
        b"=1",
        b"a=~",
        b"a=\xff",
        b"&".join([b"a=1"] * 10_001),
        b"a=" + b"x" * (256 * 1024),
    ],
    ids=lambda body: repr(body[:8]),
)
async def test_what_a_form_would_not_send_again_in_the_same_bytes_is_not_given_back(
    form: tuple[Stage, FormTool], body: bytes
) -> None:
    stage, _ = form
    page = await post(stage, *OURS, body=body)
    assert page.status == 401
    assert b"<form" not in page.body
    assert says(page, "It could not be kept on this page.")


def multipart(*parts: bytes) -> bytes:
    return b"".join(b"--B\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts) + b"--B--\r\n"


async def send_parts(
    stage: Stage, body: bytes, content_type: str = "multipart/form-data; boundary=B"
) -> RawAnswer:
    return await stage.ask("/save", f"Content-Type: {content_type}", *OURS, method="POST", body=body)


async def test_of_a_form_with_files_the_text_is_given_back_and_the_files_are_named(
    form: tuple[Stage, FormTool],
) -> None:
    stage, _ = form
    picture = b'name="shot"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n' + bytes(1024 * 1024)
    none = b'name="none"; filename=""\r\nContent-Type: application/octet-stream\r\n\r\n'
    page = await send_parts(
        stage, multipart(b'name="text"\r\n\r\nein', picture, none, b'name="_charset_"\r\n\r\nutf-8')
    )
    text = page.body.decode()
    assert inputs(page) == [("text", "ein")]
    assert re.findall('<input type="(?:file|text)"[^>]*>', text) == [
        '<input type="file" name="shot" required>',
        '<input type="file" name="none" hidden>',
        '<input type="text" name="_charset_" value="utf-8" hidden>',
    ]
    assert "a.png" in text
    assert 'enctype="multipart/form-data"' in text


async def test_the_text_of_an_upload_is_given_back_unless_the_tool_had_begun_to_take_it(
    form: tuple[Stage, FormTool],
) -> None:
    stage, tool = form
    cookie = await cookie_of(stage)
    picture = b'name="shot"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n' + bytes(700_000)
    lines = ["Content-Type: multipart/form-data; boundary=B", *OURS, cookie]
    body = multipart(b'name="text"\r\n\r\nein', picture)
    tool.hangs_up = True
    page = await stage.ask("/save", *lines, method="POST", body=body)
    assert page.status == 502
    assert says(page, MAYBE)
    assert says(page, "It could not be kept on this page.")
    await tool.stop()
    page = await stage.ask("/save", *lines, method="POST", body=body)
    assert page.status == 502
    assert says(page, NOT_REACHED)
    assert inputs(page) == [("text", "ein")]
    assert "a.png" in page.body.decode()


async def test_an_old_client_gets_it_back_too(form: tuple[Stage, FormTool]) -> None:
    stage, _ = form
    lines = ["POST /save HTTP/1.0", f"Host: localhost:{stage.port}", FORM, *OURS, f"Content-Length: {len(TYPED)}"]
    assert gives_it_back(RawAnswer.read(await stage.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + TYPED)))


async def test_a_client_that_asks_before_it_sends_a_form_is_told_to_go_on(form: tuple[Stage, FormTool]) -> None:
    stage, _ = form
    lines = ["POST /save HTTP/1.1", f"Host: localhost:{stage.port}", FORM, *OURS, "Expect: 100-continue"]
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.listens_on)
    head = [*lines, "Connection: close", f"Content-Length: {len(TYPED)}"]
    writer.write("\r\n".join(head).encode() + b"\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(TYPED)
        assert gives_it_back(RawAnswer.read(await reader.read()))
    writer.close()


@pytest.mark.parametrize("site", ["cross-site", "same-origin"])
async def test_a_client_that_asks_before_it_sends_what_is_not_kept_is_answered_at_once(
    form: tuple[Stage, FormTool], site: str
) -> None:
    stage, _ = form
    lines = [FORM, *sent_by(site), "Expect: 100-continue", f"Content-Length: {1024 * 1024}"]
    page = await stage.ask("/save", *lines, method="POST")
    assert page.status == 401
    assert b"<form" not in page.body


LYING_PARTS: list[tuple[str, bytes]] = [
    ("no end", multipart(b'name="a"\r\n\r\n1')[:-4]),
    ("a preamble", b"x\r\n" + multipart(b'name="a"\r\n\r\n1')),
    ("another boundary", multipart(b'name="a"\r\n\r\n1').replace(b"--B", b"--C")),
    ("a type of its own", multipart(b'name="a"\r\nContent-Type: text/html\r\n\r\n1')),
    ("an encoding", multipart(b'name="a"\r\nContent-Transfer-Encoding: base64\r\n\r\nMQ==')),
    ("a length", multipart(b'name="a"\r\nContent-Length: 1\r\n\r\n1')),
    ("no name", multipart(b"\r\n\r\n1")),
    ("two names", multipart(b'name="a"; name="b"\r\n\r\n1')),
    ("an extended name", multipart(b"name*=utf-8''a\r\n\r\n1")),
    (
        "parts of parts",
        multipart(b'name="a"; filename="b"\r\nContent-Type: multipart/mixed; boundary=D\r\n\r\n--D--'),
    ),
    ("a NUL", multipart(b'name="a"\r\n\r\n\0')),
    ("lone line feeds", multipart(b'name="a"\r\n\r\n1\n2')),
    ("an endless head", multipart(b'name="' + b"a" * 20_000 + b'"\r\n\r\n1')),
    ("nothing", b""),
]


@pytest.mark.parametrize("body", [body for _, body in LYING_PARTS], ids=[name for name, _ in LYING_PARTS])
async def test_parts_that_no_browser_writes_are_not_given_back(form: tuple[Stage, FormTool], body: bytes) -> None:
    page = await send_parts(form[0], body)
    assert page.status == 401
    assert b"<form" not in page.body


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded; charset=utf-16",
        "multipart/form-data",
        f"multipart/form-data; boundary={'B' * 71}",
        'multipart/form-data; boundary="B"; charset=utf-7',
        "application/json",
    ],
)
async def test_a_type_that_no_browser_sends_with_a_form_is_not_given_back(
    form: tuple[Stage, FormTool], content_type: str
) -> None:
    page = await send_parts(form[0], multipart(b'name="a"\r\n\r\n1'), content_type)
    assert page.status == 401
    assert b"<form" not in page.body


async def test_bytes_that_are_not_utf_8_are_given_back_in_a_charset_that_has_all_bytes(
    form: tuple[Stage, FormTool],
) -> None:
    every = "".join(f"%{byte:02X}" for byte in range(0x80, 0x100))
    page = await post(form[0], *OURS, body=f"text={every}".encode())
    assert 'accept-charset="windows-1252"' in page.body.decode()
    [(_, value)] = inputs(page)
    # The Encoding standard's windows-1252 differs from Python's by five bytes, which are C1 controls.
    written = b"".join(bytes([ord(c)]) if ord(c) < 0x100 else c.encode("cp1252") for c in value)
    assert written == bytes(range(0x80, 0x100))


async def test_nothing_of_it_is_held_when_the_page_is_sent(form: tuple[Stage, FormTool]) -> None:
    stage, tool = form
    cookie = await cookie_of(stage)
    await post(stage, *OURS)
    await post(stage, cookie, *OURS)
    await tool.stop()
    await post(stage, cookie, *OURS)
    await post(stage, *OURS, body=b"&".join([b"a=1"] * 10_000))
    await send_parts(stage, LYING_PARTS[0][1])
    typed = stage.proxy.typed
    assert (typed.room.held, typed.room.by_client) == (0, {})


async def test_a_seal_that_is_not_ours_leads_nowhere(form: tuple[Stage, FormTool]) -> None:
    stage, _ = form
    sealed = action(await post(stage, *OURS))
    for path in (sealed[:-1], sealed + "A", "/oauth2/send_again", "/oauth2/send_again?form=", f"{sealed}&form=x"):
        assert (await post(stage, *OURS, path=path)).status == 400, path
    assert (await stage.ask(sealed, *OURS)).status == 405


async def test_an_address_of_any_form_is_led_back_to_as_it_was_and_never_to_another_site(
    form: tuple[Stage, FormTool],
) -> None:
    stage, _ = form
    cookie = await cookie_of(stage)
    for path in ("//evil.example/", "/\\evil.example", "/a//b?c", "/%2F%2Fevil", "/@evil", "/a?" + "b" * 8000):
        page = await post(stage, *OURS, path=path)
        again = await post(stage, cookie, *OURS, path=action(page))
        again = await post(stage, cookie, *OURS, path=action(again))
        to = again.get("Location") or ""
        assert urlsplit(to).netloc == f"localhost:{stage.port}", path
        if "\\" not in path:
            assert to == stage.url + path
