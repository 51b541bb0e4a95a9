"""What is fuzzed: each target takes any bytes, and fails when its sentence is not true of them."""

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs

from oauth_proxy import oauth
from oauth_proxy.aiohttp_private import Protocol
from oauth_proxy.cookies import Cookies, RequestCookies, SealedCookie
from oauth_proxy.errors import (
    BadRequest,
    CodeRefused,
    ConfigurationError,
    GrantEnded,
    LoginRefused,
    MethodNotAllowed,
    Misdirected,
    ProviderUnavailable,
    SessionTooLarge,
    SignatureRefused,
    TokenMalformed,
    UpstreamNonsense,
)
from oauth_proxy.forms import Form, NotAForm, as_stream, read_form
from oauth_proxy.headers import Fields, Line, ToolHeaders, TrustedProxies, bearer_token, normal, one_line
from oauth_proxy.identity import Tokens
from oauth_proxy.paths import Site, read_target
from oauth_proxy.seal import Sealer, Unsealable
from oauth_proxy.settings import DEFAULT_HEADERS, effective, parse
from oauth_proxy.upstream.outgoing import header_lines
from oauth_proxy.upstream.reader import ResponseReader
from oauth_proxy.webhooks import Webhooks
from tests.hostile.test_redirects import lands_at
from tests.support.configuration import HOST
from tests.support.units import NOW

SITE = Site(f"https://{HOST}")
SEALER = Sealer([bytes(32), b"1" * 32], "session")
COOKIES = Cookies("oauth_proxy", secure=True)
SESSION = SealedCookie(COOKIES, SEALER, COOKIES.name)
TOOL_HEADERS = ToolHeaders(DEFAULT_HEADERS)
WEBHOOKS = Webhooks({"/hooks/frameio": [b"a secret"]}, lambda: NOW)
SECRETS = ("the-code-that-was-sent", "the-secret-of-the-app")
HOP_BY_HOP = (b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade")
_LOOP = asyncio.new_event_loop()


def _lines(data: bytes) -> list[Line]:
    """Header lines as the server's parser gives them: no line end and no NUL is in them."""
    lines = data.replace(b"\r", b"").replace(b"\0", b"").split(b"\n")
    return [(name, value.strip(b" \t")) for name, _, value in (line.partition(b":") for line in lines)]


def cookies(data: bytes) -> None:
    """Any Cookie lines are read; what goes on to the tool holds no cookie of ours; a repeated one is none."""
    received = COOKIES.read(Fields([(b"cookie", line) for line in data.split(b"\n")]))
    names = [piece.strip(b" \t").partition(b"=")[0] for line in received.others for piece in line.split(b";")]
    assert not [name for name in names if name == COOKIES.name.encode()]
    assert received.ours.keys() <= received.seen
    assert COOKIES.read(Fields([(b"cookie", line) for line in received.others])).others == received.others
    text = SESSION.text(received)
    assert text is None or SESSION.open(text) is None, "nobody seals but we"


def sealed(data: bytes) -> None:
    """Any text is opened or Unsealable; what was sealed opens to itself, for its purpose and name alone."""
    with suppress(Unsealable):
        SEALER.open(data.decode("latin-1"))
        raise AssertionError("nobody seals but we")
    with suppress(SessionTooLarge):
        lines = SESSION.set(data, 60, RequestCookies({}, frozenset(), ()))
        line = "; ".join(line.partition(";")[0] for line in lines).encode()
        text = SESSION.text(COOKIES.read(Fields([(b"cookie", line)])))
        assert text is not None
        assert SESSION.open(text) == data
        assert SealedCookie(COOKIES, SEALER, "another").open(text) is None


def paths(data: bytes) -> None:
    """Any request-target is read or refused; what was sent is forwarded; read again, a reading stays the same."""
    sent = data.decode("utf-8", "surrogateescape")
    try:
        target = read_target(sent, HOST)
    except (BadRequest, Misdirected):
        return
    assert target.full == sent or not sent.startswith("/")
    assert target.path.startswith("/")
    if target.plain:
        assert not target.climbs()
        assert not {"..", "."} & set(target.path.split("/"))
        assert "//" not in target.path
        again = read_target(target.path, HOST)
        assert (again.path, again.plain) == (target.path, True)


def returns(data: bytes) -> None:
    """An address to return to lies on this site as browsers read it, and is safe to return to again."""
    candidate = data.decode("utf-8", "surrogateescape")
    found = SITE.safe_return(candidate)
    if found is not None:
        assert lands_at(found, SITE.origin) == SITE.origin
        assert found.isascii()
        assert SITE.safe_return(found) == found or len(found) > len(candidate)
    with suppress(BadRequest, Misdirected):
        back = SITE.back_to(read_target(candidate, HOST))
        assert lands_at(back, SITE.origin) == SITE.origin


def headers(data: bytes) -> None:
    """Of any lines none crosses under a name of ours or of one hop, and none becomes two."""
    fields = Fields(_lines(data))
    crossing = TOOL_HEADERS.crossing(fields)
    assert set(crossing) <= set(fields.lines)
    taken = {normal(name.encode()) for name in DEFAULT_HEADERS} | set(HOP_BY_HOP)
    assert not {normal(name) for name, _ in crossing} & taken
    written = header_lines(crossing)
    assert (written.count(b"\r"), written.count(b"\n")) == (len(crossing), len(crossing))
    with suppress(TokenMalformed):
        assert bearer_token(fields).isascii()
    line = one_line(data.decode("utf-8", "replace"))
    assert one_line(line) == line
    assert line.isprintable() or not set(line) & set(map(chr, range(32)))
    assert TrustedProxies().chain("192.0.2.1", fields) == ["192.0.2.1"]


def _answers(pieces: Sequence[bytes], *, to_head: bool) -> tuple[object, ...]:
    reader = ResponseReader()
    reader.expect(to_head=to_head, upgrading=False)
    body = b""
    try:
        for piece in pieces:
            reader.feed(piece)
            body += b"".join(reader.take())
    except UpstreamNonsense:
        return ("nonsense", reader.head and reader.head.block)
    return (reader.head and reader.head.status, reader.head and reader.head.block, reader.complete, body)


def heads(data: bytes) -> None:
    """Any bytes of a tool are an answer or nonsense, in one piece or in many, and its lines are lines."""
    for to_head in (False, True):
        whole = _answers([data], to_head=to_head)
        assert _answers([data[at : at + 1] for at in range(len(data))], to_head=to_head) == whole
        assert _answers([data[: len(data) // 2], data[len(data) // 2 :]], to_head=to_head) == whole
        block = whole[1]
        if isinstance(block, bytes):
            assert block.count(b"\r") == block.count(b"\n") == block.count(b"\r\n")
            assert b"\0" not in block
            names = {line.partition(b":")[0].lower() for line in block.split(b"\r\n")}
            assert not names & set(HOP_BY_HOP)


def webhooks(data: bytes) -> None:
    """No call passes that was not signed with the secret, whatever its address, lines and body are."""
    first, _, rest = data.partition(b"\n")
    lines, _, body = rest.partition(b"\n\n")
    with suppress(BadRequest, Misdirected, MethodNotAllowed, SignatureRefused):
        target = read_target(first.decode("utf-8", "surrogateescape"), HOST)
        call = WEBHOOKS.expect("POST", target, Fields(_lines(lines)))
        if call is not None:
            call.verify(body)
            raise AssertionError("nobody signs but Frame.io")


def answers(data: bytes) -> None:
    """A token endpoint's answer is tokens that fit a header line, or a failure that repeats no secret."""
    status, body = (200, data) if data[:1] != b"!" else (400, data[1:])
    previous = Tokens("access", NOW, NOW + 60, "refresh", "a b")
    for before in (None, previous):
        try:
            tokens = oauth.granted_tokens(status, body, now=NOW, previous=before, sent=SECRETS)
        except (CodeRefused, GrantEnded, ProviderUnavailable) as error:
            failure = error.cause
        else:
            failure = ""
            assert tokens.access.isascii()
            assert tokens.access.isprintable()
            assert tokens.expires_at > NOW
        assert not [secret for secret in SECRETS if secret in failure]
    with suppress(LoginRefused, ProviderUnavailable):
        code = oauth.redeemable_code(parse_qs(data.decode("latin-1"), keep_blank_values=True))
        assert code.isascii()
        assert code.isprintable()


def settings(data: bytes) -> None:
    """Any text is settings, which can be shown, or a ConfigurationError with a sentence for each problem."""
    text = data.decode("utf-8", "replace")
    try:
        read = parse(text, filename="f.yaml", environ={"A": "x"}, folder=Path("/nowhere"))
    except ConfigurationError as error:
        problems = error.problems or ["there are no problems"]
    else:
        problems = []
        assert effective(read)
    assert all(problem.startswith("f.yaml:") and "\n" not in problem for problem in problems)


class _Connection:
    """What a body in hand needs of the connection that it came by."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Nothing is read."""


def _submitted(text: str, charset: str) -> bytes:
    """A name or value of a hidden field as a browser encodes it (HTML 4.10.22.4): line ends become CRLF."""
    assert "\0" not in text, "HTML has no NUL"
    text = re.sub("\r\n|\r|\n", "\r\n", text)
    if charset == "utf-8":
        return text.encode()
    return b"".join(bytes([ord(each)]) if ord(each) < 0x100 else each.encode("cp1252") for each in text)


def _written(form: Form, body: bytes) -> bytes:
    """The body that a browser makes of the form, files left out."""
    fields = [
        (_submitted(name, form.charset), _submitted(value, form.charset), filename)
        for name, value, filename in form.decoded()
    ]
    assert all(name for name, _, _ in fields), "a browser leaves out fields without a name"
    if form.enctype == "text/plain":
        return b"".join(b"%b=%b\r\n" % (name, value) for name, value, _ in fields)
    if form.enctype == "application/x-www-form-urlencoded":
        kept = b"*-._0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
        quoted = {byte: b"%c" % byte if byte in kept else b"%%%02X" % byte for byte in range(256)} | {32: b"+"}
        pairs = [(b"".join(quoted[byte] for byte in text) for text in (name, value)) for name, value, _ in fields]
        return b"&".join(b"=".join(pair) for pair in pairs)
    if any(filename is not None for _, _, filename in fields):
        return body
    parts = [
        b'--B\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name, v) for name, v, _ in fields
    ]
    return b"".join([*parts, b"--B--\r\n"])


def typed(data: bytes) -> None:
    """A body is a form that a browser writes again in the same bytes, or NotAForm."""
    kind = ("application/x-www-form-urlencoded", "multipart/form-data; boundary=B", "text/plain")[len(data) % 3]

    async def read() -> Form:
        connection = cast(Protocol, _Connection(_LOOP))
        return await read_form(kind.encode(), as_stream(data, connection))

    with suppress(NotAForm):
        assert _written(_LOOP.run_until_complete(read()), data) == data


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (cookies, sealed, paths, returns, headers, heads, webhooks, answers, settings, typed)
}
