"""What the file says about who enters, what is public and what the tool is told, as values."""

import re
from dataclasses import dataclass
from string import Formatter
from typing import Literal
from uuid import UUID

from oauth_proxy.settings.addresses import domain, plain_path
from oauth_proxy.settings.problems import Refused, kind, nearest, one_of

OUR_ROUTES = "/oauth2/"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PLACEHOLDERS = ("access_token", "id", "email", "name", "account_id", "expires_at", "handle")

ROLES = ("owner", "admin", "account_manager", "billing_manager", "team_manager", "member", "reviewer")
"""Frame.io's words for what somebody is in an account or a team."""
V4_ROLES = ("owner", "admin", "member")

ROLE_SCHEMA = {
    "description": "Only who holds this role there, or one of several.",
    "anyOf": [{"enum": ROLES}, {"type": "array", "items": {"enum": ROLES}, "minItems": 1}],
}
RULE_SCHEMA = {
    "anyOf": [
        {"const": "everyone", "description": "Anybody with a Frame.io account."},
        *(
            {
                "type": "object",
                "properties": {
                    word: {"type": "string", **more},
                    **({} if word == "email" else {"role": ROLE_SCHEMA}),
                },
                "required": [word],
                "additionalProperties": False,
            }
            for word, more in {
                "email": {"description": "*@studio.example.com, a mailbox, or *@*.example.com."},
                "account": {"description": "The UUID of a Frame.io account."},
                "team": {"description": "The UUID of a Frame.io team (v2 only; needs the scope team.read)."},
            }.items()
        ),
    ]
}

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'+/=?^_`{|}~.-]{1,64}")
_RULES = ("everyone", "email", "account", "team")
# What frames a message or belongs to a connection (RFC 9110 7.6.1, RFC 9112 6), or to the sign-in itself.
_FRAMING = re.compile(
    "connection|content-length|cookie|expect|host|keep-alive|proxy-authenticate|proxy-authorization|"
    "proxy-connection|set-cookie|te|trailer|transfer-encoding|upgrade"
)
_WRITTEN_BY_US = re.compile("forwarded|x-forwarded-(?:for|host|port|proto)|x-request-id")


@dataclass(frozen=True, slots=True)
class Everyone:
    """Anybody with a Frame.io account."""

    def written(self) -> str:
        """As it stands in the file."""
        return "everyone"


@dataclass(frozen=True, slots=True)
class EmailPattern:
    """Mailboxes of one domain, or with `subdomains` of every domain below it; `local` None is any mailbox.

    `local` is in lower case; `domain` is as `addresses.domain` folds it.
    """

    local: str | None
    domain: str
    subdomains: bool = False

    def written(self) -> dict[str, str]:
        """As it stands in the file."""
        return {"email": f"{self.local or '*'}@{'*.' if self.subdomains else ''}{self.domain}"}


@dataclass(frozen=True, slots=True)
class Member:
    """Who belongs to one Frame.io account or team; with `roles`, only who holds one of them there.

    `id` is a UUID in lower case.
    """

    of: Literal["account", "team"]
    id: str
    roles: tuple[str, ...] = ()

    def written(self) -> dict[str, str | list[str]]:
        """As it stands in the file."""
        rule: dict[str, str | list[str]] = {self.of: self.id}
        if self.roles:
            rule["role"] = self.roles[0] if len(self.roles) == 1 else list(self.roles)
        return rule


Rule = Everyone | EmailPattern | Member


@dataclass(frozen=True, slots=True)
class PublicRule:
    """Requests that need no session: one path, or with `below` every path that begins with it (it ends in '/')."""

    methods: frozenset[str]
    path: str
    below: bool = False

    def written(self) -> str:
        """As it stands in the file; GET and HEAD together are what a rule without a method means."""
        path = self.path + ("*" if self.below else "")
        return path if len(self.methods) > 1 else f"{next(iter(self.methods))} {path}"


def rule(written: object) -> Rule:
    """One entry of `access.allow`: `everyone`, or a mapping of one of email, account and team; else Refused.

    Beside account or team may stand `role`, one or a list. A role alone would let in everybody who holds it in an
    account of their own.
    """
    if written == "everyone":
        return Everyone()
    word, value, role = _entry(written)
    if not isinstance(value, str):
        raise Refused(f"one value is wanted here, not {kind(value)}")
    if word == "email":
        if role is not None:
            raise Refused("a role stands beside an account or a team")
        return parse_email_pattern(value)
    return Member("account" if word == "account" else "team", _uuid(value), _roles(role))


def _roles(written: object) -> tuple[str, ...]:
    if written is None:
        return ()
    roles = written if isinstance(written, list) else [written]
    for role in roles:
        if role not in ROLES:
            meant = nearest(role, ROLES) if isinstance(role, str) else None
            raise Refused(f"a role is {one_of(ROLES)}", meant)
    if not roles:
        raise Refused("a list of roles has at least one in it")
    return tuple(dict.fromkeys(roles))


def _entry(written: object) -> tuple[str, object, object]:
    """A rule that is a mapping: what it is about, the value, and the role beside it, if any."""
    meant = None
    if isinstance(written, dict) and written:
        about = {word: value for word, value in written.items() if word != "role"}
        if len(about) == 1:
            [(word, value)] = about.items()
            if word in _RULES[1:]:
                return word, value, written.get("role")
            meant = nearest(word, _RULES)
    elif isinstance(written, str):
        word, colon, value = written.partition(":")
        meant = f'{word}: "{value.strip()}"' if colon else nearest(written, _RULES)
        meant = f'email: "{written}"' if "@" in word else meant
    raise Refused("a rule is everyone, or one of email:, account: and team: with its value", meant)


def parse_email_pattern(text: str) -> EmailPattern:
    """`*@studio.example.com`, `jo@studio.example.com` or `*@*.example.com` (any subdomain); else Refused."""
    local, at, host = text.partition("@")
    if not at:
        raise Refused("an email pattern has one '@' in it", f"*@{text.removeprefix('*')}" if "." in text else None)
    if "@" in host or (local != "*" and not _LOCAL_PART.fullmatch(local)):
        raise Refused("an email pattern is one mailbox or '*', one '@' and a domain")
    subdomains = host.startswith("*.")
    name = host.removeprefix("*.")
    if "*" in name:
        raise Refused("a '*' in the domain stands only as a whole first part, as in *@*.example.com")
    if "." not in name:
        raise Refused("an email pattern names a domain with a dot in it, such as *@studio.example.com")
    return EmailPattern(None if local == "*" else local.lower(), domain(name), subdomains)


def parse_public_rule(text: str) -> PublicRule:
    """`GET /healthz`, `/assets/*` (GET and HEAD); a path as `plain_path` wants it; else Refused."""
    method, space, path = text.partition(" ") if not text.startswith("/") else ("", "", text)
    if not space and method:
        raise Refused("a public rule is a path, or a method and a path, such as GET /healthz", f"/{text}")
    if method and method not in METHODS:
        meant = nearest(method, METHODS)
        raise Refused(f"the method of a rule is {one_of(METHODS)}", f"{meant} {path}" if meant else None)
    below = path.endswith("*")
    if "*" in path[:-1] or (below and not path.endswith("/*")):
        folder = path.partition("*")[0]
        raise Refused("a '*' stands only at the end, after a '/'", f"{method}{space}{folder.rstrip('/')}/*")
    path = plain_path(path.removesuffix("*"))
    if path.startswith(OUR_ROUTES):
        raise Refused(f"{OUR_ROUTES} belongs to the proxy and needs no rule")
    return PublicRule(frozenset({method} if method else {"GET", "HEAD"}), path, below)


def prefix(text: str) -> str:
    """A path prefix that upstreams are listed under: `/`, or like `/render/`; else Refused."""
    if text.startswith("/") and not text.endswith("/"):
        raise Refused("a path prefix ends with '/'", f"{text}/")
    path = plain_path(text)
    if path.startswith(OUR_ROUTES):
        raise Refused(f"{OUR_ROUTES} belongs to the proxy and cannot have an upstream")
    return path


def webhook_path(text: str) -> str:
    """The one path that a webhook is called at, as `plain_path` wants it; else Refused."""
    path = plain_path(text)
    if "*" in path:
        raise Refused("a webhook has one path, without '*'")
    if path.startswith(OUR_ROUTES):
        raise Refused(f"{OUR_ROUTES} belongs to the proxy and takes no webhook")
    return path


def header_name(text: str) -> str:
    """A field name (RFC 9110 5.1) that may be set for the tool; else Refused."""
    if not _TOKEN.fullmatch(text):
        raise Refused("a header name is letters, digits and '-'")
    folded = text.lower().replace("_", "-")
    if _FRAMING.fullmatch(folded):
        raise Refused("this header belongs to the connection and cannot be set")
    if _WRITTEN_BY_US.fullmatch(folded):
        raise Refused("this header is written by the proxy itself")
    return text


def header_template(text: str) -> str:
    """Text with placeholders such as `Bearer {access_token}`; else Refused."""
    if not re.fullmatch(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?", text):
        raise Refused("a header's value is printable ASCII, without spaces at its ends")
    for name in re.findall(r"\{([^{}]*)\}", text):
        if name not in PLACEHOLDERS:
            meant = nearest(name, PLACEHOLDERS)
            known = one_of([f"{{{each}}}" for each in PLACEHOLDERS])
            raise Refused(f"a placeholder is {known}", f"{{{meant}}}" if meant else None)
    if re.search(r"[{}]", re.sub(r"\{[^{}]*\}", "", text)):
        raise Refused("braces only enclose a placeholder, such as {email}")
    return text


def placeholders(template: str) -> set[str]:
    """The names that a checked template asks for."""
    return {name for _, name, _, _ in Formatter().parse(template) if name}


def _uuid(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", text):
        raise Refused("an id of Frame.io is a UUID, such as 2f1c7d0e-5b7a-4a52-9d3c-1f6d5c1f4b20")
    return str(UUID(text))
