"""Takes the way of a request that nobody sends, and tells what is decided on it.

The law: nothing here decides. Every sentence is about what the code that serves visitors has just answered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from time import time

from oauth_proxy.assembly import access_for, cookies_for, door_for, routes_for, upstreams_for
from oauth_proxy.bearers import is_of_program
from oauth_proxy.cookies import RequestCookies
from oauth_proxy.door import Door
from oauth_proxy.egress import ToolTls
from oauth_proxy.email_files import EmailFiles, email_paths
from oauth_proxy.errors import NotAllowed, ProxyError, SignInRequired
from oauth_proxy.explain.people import Listed, RuleList, rule_lists, verdict
from oauth_proxy.headers import Line, bearer_token, is_navigation
from oauth_proxy.identity import Identity, Session, Tokens
from oauth_proxy.outcomes import STRANGER, Visit
from oauth_proxy.own_routes import require_route
from oauth_proxy.paths import Target
from oauth_proxy.requests import RequestHeaders
from oauth_proxy.responses import start_url
from oauth_proxy.server import head_of
from oauth_proxy.settings import OUR_ROUTES, Lines, Rule, Settings
from oauth_proxy.upstream.claims import Claims
from oauth_proxy.upstream.refused_streams import PRIVATE_USE
from oauth_proxy.upstream.routes import Upstreams
from oauth_proxy.webhooks import SignedCall
from oauth_proxy.windows import shows_document

_PRIVATE = frozenset({b"authorization", b"cookie", b"proxy-authorization"})
"""Header lines of the request whose values are not repeated: the answer may be shown to others."""
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Question:
    """A request that somebody asks about; `target` is a path or URL, `person` an email address or Frame.io id."""

    method: str
    target: str
    person: str | None = None
    headers: Sequence[Line] = ()


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the tool's headers are made from, for a request that nobody has sent."""

    fields: RequestHeaders
    request_id: str = "<the request's id>"
    chain: Sequence[str] = ("<the visitor's address>",)
    client: str = ""
    traceparent: bytes = b""


@dataclass(slots=True)
class _Story:
    """The answer so far: its end in one sentence, and rows of a subject and what is to say about it."""

    end: str = ""
    rows: list[tuple[str, str]] = field(default_factory=list)

    def tell(self, subject: str, text: str, at: str | None = None) -> None:
        self.rows.append((subject, f"{text} ({at})" if at else text))

    def fail(self, error: ProxyError) -> None:
        self.end = f"{error.status} {error.title}: {error.cause}."

    def __str__(self) -> str:
        width = max((len(subject) for subject, _ in self.rows), default=0)
        rows = [f"{subject:<{width}}  {text}".rstrip() for subject, text in self.rows]
        return "\n".join(_printable(line) for line in [self.end, "", *rows]).rstrip()


async def explained(settings: Settings, lines: Lines, question: Question) -> str:
    """The answer to the question, as text for people. Nobody is asked anything: not Frame.io, not the tool."""
    cookies = cookies_for(settings)
    door = door_for(settings, access_for(settings, EmailFiles(email_paths(settings)).lists), time)
    handle, assertion = "<a handle>", "<a signed assertion>"
    upstreams = upstreams_for(
        settings,
        routes_for(settings, Claims(cookies), ToolTls(settings.upstreams)),
        door.site,
        lambda session: handle,
        lambda moment: moment,
        lambda session, tool: assertion,
    )
    sent = list(question.headers)
    if not any(name.lower() == b"host" for name, _ in sent):
        sent.insert(0, (b"Host", settings.host.encode("ascii")))
    story = _Story()
    try:
        head = head_of(_written_out(question, sent))
        fields = RequestHeaders(head.raw_headers)
        question = replace(question, method=head.method, target=head.path)
        teller = _Teller(settings, lines, question, story, door, upstreams, fields, cookies.read(fields))
        teller.tell()
    except ProxyError as error:
        story.fail(error)
    finally:
        await upstreams.close()
    return str(story)


def _written_out(question: Question, sent: Sequence[Line]) -> bytes:
    """The question as the bytes of a request (RFC 9112)."""
    first = f"{question.method} {question.target} HTTP/1.1".encode("utf-8", "surrogateescape")
    return b"\r\n".join([first, *(name + b": " + value for name, value in sent), b"", b""])


@dataclass(slots=True)
class _Teller:
    """Takes the way of a request, as Proxy.handle and Gateway.handle do, and tells what is decided on it."""

    settings: Settings
    lines: Lines
    question: Question
    story: _Story
    door: Door
    upstreams: Upstreams
    fields: RequestHeaders
    received: RequestCookies

    def tell(self) -> None:
        """Fill the story. Raises the ProxyError that ends the request."""
        method = self.question.method
        self.story.tell("site", self.door.site.origin, self.lines.at("public_url"))
        target = self.door.read(method, self.question.target, self.fields)
        plain = "" if target.plain else "; servers read it in different ways, so it is never public"
        self.story.tell("path", f"{target.path}, as rules read it{plain}")
        if target.path.startswith(OUR_ROUTES):
            require_route(method, target)
            self.story.end = "The proxy answers this itself: it is one of its own routes."
            return
        if target.path in self.settings.webhooks:
            self.story.tell(
                "webhook", "only what Frame.io has signed gets in", self.lines.at("webhooks", target.path)
            )
        need = self.door.need(method, target, self.fields)
        if isinstance(need, SignedCall):
            self.story.end = "Let through without a session if the signature is that of the body; 401 if not."
            self._tool(target, STRANGER)
        elif need == "nothing":
            self.story.end = "Let through: the path is public, and the tool is told of nobody."
            self._public(target)
            self._tool(target, STRANGER)
        else:
            public = self.lines.at("access", "public")
            self.story.tell("public", f"no: no rule of access.public fits {method} of this path", public)
            self._private(target)

    def _public(self, target: Target) -> None:
        rule, written = self.door.access.public_rule(self.question.method, target), self.settings.access.public
        if rule in written:
            at = self.lines.at("access", "public", written.index(rule))
            self.story.tell("public", f"yes, by {rule.write()}", at)
        elif rule is not None:
            self.story.tell("public", f"yes, {rule.path} is one of them", self.lines.at("access", "public_assets"))

    def _private(self, target: Target) -> None:
        self._stranger(target, self._program())
        person, access = self.question.person, self.door.access
        places = access.places(target)
        lists = list(rule_lists(self.settings, self.lines, places))
        if person is None:
            self.story.end = "A session is needed, of somebody whom the rules let in."
            for each in lists:
                self._tell_rules("keeps out" if each.denies else "lets in", each, each.rules)
            self._tool(target, _visit(Identity("<their id>", "<their email address>")))
            return
        identity = Identity("<their id>", person) if "@" in person else Identity(person)
        found = verdict(access, lists, identity, places)
        if found.end == "in":
            self.story.end, subject = f"Let through, for {person} with a session.", "lets in"
        elif found.end == "out":
            self.story.end, subject = f"403 {NotAllowed.title}: {found.cause}, for {person}.", "fits not"
        else:
            depends = f"For {person} it depends on what Frame.io says of them when they sign in."
            self.story.end, subject = depends, "decides"
        for each, rules in found.by:
            is_kept_out = found.end == "out" and each.denies
            self._tell_rules("keeps out" if is_kept_out else subject, each, rules)
        if found.end != "out":
            self._tool(target, _visit(identity))

    def _tell_rules(self, subject: str, of: RuleList, rules: Sequence[Listed]) -> None:
        to = f", to {of.of}" if of.of else ""
        for each in rules:
            self.story.tell(subject, f"{_written(each.rule)}{to}", each.at)

    def _program(self) -> bool:
        """Tell of a token that the request brings itself. Raises TokenMalformed."""
        if not is_of_program(self.fields, self.received):
            return False
        at, enabled = self.lines.at("access", "bearer"), self.settings.access.bearer
        if enabled:
            bearer_token(self.fields)
            self.story.tell("token", "the request's own: Frame.io is asked whose it is", at)
        else:
            self.story.tell("token", "the request's own is not looked at, because access.bearer is off", at)
        return enabled

    def _stranger(self, target: Target, by_program: bool) -> None:
        to = self.upstreams.slashless(target)
        if by_program:
            text = "401 if Frame.io does not accept the token"
        elif to is not None and self.door.is_open(to) and is_navigation("GET", self.fields):
            text = f"308 to {to}, which is public"
        elif self.question.method == "GET" and is_navigation("GET", self.fields):
            answer = "401, a page that takes the #fragment along" if shows_document(self.fields) else "302"
            text = f"{answer} to {start_url(self.door.site, self.door.site.back_to(target))}, and on to Frame.io"
        else:
            text = f"{SignInRequired.status} {SignInRequired.title}"
            if self.fields.for_websocket:
                text += f"; a page of the same host is told {PRIVATE_USE + SignInRequired.status} by a Close frame"
            elif self.question.method == "GET":
                text += '; a browser that opens it as a page ("Accept: text/html") is sent to the login'
        self.story.tell("stranger", text)

    def _tool(self, target: Target, visit: Visit) -> None:
        """Tell which tool is asked for what. Raises what `Upstreams.prepare` raises."""
        to = self.upstreams.slashless(target)
        if to is not None and self.question.method in ("GET", "HEAD"):
            self.story.tell("slash", f"whoever opens it as a page is redirected to {to} (308); others are not")
        route = self.upstreams.route(target)
        at = self.lines.at("upstreams", route.prefix)
        self.story.tell("upstream", f"{route.prefix} is {self.settings.upstreams[route.prefix].url}", at)
        _, outgoing = self.upstreams.prepare(_Asked(self.fields), target, visit, self.received.others)
        protocol = ", as a WebSocket" if self.fields.for_websocket else ""
        asked = outgoing.target.decode("utf-8", "surrogateescape")
        self.story.tell("asks for", f"{self.question.method} {asked} HTTP/1.1{protocol}")
        written = [line.partition(b": ") for line in outgoing.lines.split(b"\r\n") if line]
        crossed = {(name, value) for name, _, value in written}
        for name, _, value in written:
            self.story.tell("header", self._header(name, value))
        for name in dict.fromkeys(name for name, value in self.fields.lines if (name, value) not in crossed):
            if name.lower() not in (b"host", b"cookie"):
                self.story.tell("struck", f"{name.decode('latin-1')}, as the request has it")
        if self.received.seen:
            self.story.tell("struck", "the proxy's own cookies")

    def _header(self, name: bytes, value: bytes) -> str:
        named = name.decode("latin-1")
        ours = named in self.settings.headers and (name, value) not in self.fields.lines
        if name.lower() in _PRIVATE and not ours:
            return f"{named}: <as the request has it>"
        if not ours:
            return f"{named}: {value.decode('utf-8', 'replace')}"
        at = self.lines.at("headers", named) or "by default"
        hidden = self.lines.is_external("headers", named)
        return f"{named}: {'<from a variable>' if hidden else value.decode('utf-8', 'replace')} ({at})"


def _visit(identity: Identity) -> Visit:
    """The visit of somebody with a session, with words in place of what only Frame.io knows."""
    told = Identity(
        identity.id,
        identity.email or "<their email address>",
        "<their name>",
        "<their account's id>",
    )
    now = time()
    return Visit(Session("explain", told, Tokens("<their access token>", now, now + _HOUR), now, now))


def _written(rule: Rule) -> str:
    """The rule in one line, nearly as the file has it."""
    written = rule.write()
    if isinstance(written, str):
        return written
    return ", ".join(
        f"{key}: {' or '.join(value) if isinstance(value, list) else value}" for key, value in written.items()
    )


def _printable(text: str) -> str:
    """The text without what would disturb a terminal."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
