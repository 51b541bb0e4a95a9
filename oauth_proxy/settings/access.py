"""The section `access`: the rules that say who may enter, and the requests that need no sign-in."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from oauth_proxy.settings.addresses import OUR_ROUTES, parse_domain, parse_plain_path
from oauth_proxy.settings.fields import FromText, Section
from oauth_proxy.settings.problems import Refused, kind, nearest, one_of
from oauth_proxy.settings.scalars import DURATION_SCHEMA, Flag, parse_duration, write_duration

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_ROLES = ("owner", "admin", "account_manager", "billing_manager", "team_manager", "member", "reviewer")
"""Frame.io's names for what somebody is in an account or a team."""
_V4_ROLES = ("owner", "admin", "member")
_ROLE_SCHEMA = {
    "description": "Only who holds this role there, or one of several.",
    "anyOf": [{"enum": _ROLES}, {"type": "array", "items": {"enum": _ROLES}, "minItems": 1}],
}
_RULE_SCHEMA = {
    "anyOf": [
        {"const": "everyone", "description": "Anybody with a Frame.io account."},
        *(
            {
                "type": "object",
                "properties": {
                    key: {"type": "string", "description": description},
                    **({} if key == "email" else {"role": _ROLE_SCHEMA}),
                },
                "required": [key],
                "additionalProperties": False,
            }
            for key, description in {
                "email": "*@studio.example.com, a mailbox, or *@*.example.com.",
                "account": "The UUID of a Frame.io account.",
                "team": "The UUID of a Frame.io team (v2 only; needs the scope team.read).",
            }.items()
        ),
    ]
}
_RULES = ("everyone", "email", "account", "team")
_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'+/=?^_`{|}~.-]{1,64}")
_SHORTEST_RECHECK = 60.0


@dataclass(frozen=True, slots=True)
class Everyone:
    """Anybody with a Frame.io account."""

    def write(self) -> str:
        """The rule as the file has it."""
        return "everyone"


@dataclass(frozen=True, slots=True)
class EmailPattern:
    """The mailboxes of one domain, or with `subdomains` of every domain below it.

    `local` is one mailbox in lower case, or None for any; `domain` is as `parse_domain` returns it.
    """

    local: str | None
    domain: str
    subdomains: bool = False

    def write(self) -> dict[str, str]:
        """The rule as the file has it."""
        return {"email": f"{self.local or '*'}@{'*.' if self.subdomains else ''}{self.domain}"}


@dataclass(frozen=True, slots=True)
class Member:
    """The members of one Frame.io account or team, or with `roles` those who hold one of these roles there.

    `id` is a UUID in lower case.
    """

    of: Literal["account", "team"]
    id: str
    roles: tuple[str, ...] = ()

    def write(self) -> dict[str, str | list[str]]:
        """The rule as the file has it."""
        rule: dict[str, str | list[str]] = {self.of: self.id}
        if self.roles:
            rule["role"] = self.roles[0] if len(self.roles) == 1 else list(self.roles)
        return rule


@dataclass(frozen=True, slots=True)
class PublicRule:
    """Requests that need no session: for one path, or with `below` for every path that begins with it.

    With `below` the path ends in '/'.
    """

    methods: frozenset[str]
    path: str
    below: bool = False

    def write(self) -> str:
        """The rule as the file has it: without a method it means GET and HEAD."""
        path = self.path + ("*" if self.below else "")
        return path if len(self.methods) > 1 else f"{next(iter(self.methods))} {path}"


def parse_rule(written: object) -> "Rule":
    """`everyone`, or a mapping with one of email, account and team, and with `role` if it is account or team.

    There is no rule for a role alone: everybody who holds it in an account of their own would be let in.
    """
    if written == "everyone":
        return Everyone()
    key, value, role = _parse_mapping(written)
    if not isinstance(value, str):
        raise Refused(f"one value is wanted here, not {kind(value)}")
    if key == "email":
        if role is not None:
            raise Refused("a role stands beside an account or a team")
        return parse_email_pattern(value)
    return Member("account" if key == "account" else "team", _parse_uuid(value), _parse_roles(role))


def _parse_mapping(written: object) -> tuple[str, object, object]:
    """The key of a rule that is a mapping, its value, and the role or None."""
    suggestion = None
    if isinstance(written, dict) and written:
        others = {key: value for key, value in written.items() if key != "role"}
        if len(others) == 1:
            [(key, value)] = others.items()
            if key in _RULES[1:]:
                return key, value, written.get("role")
            suggestion = nearest(key, _RULES)
    elif isinstance(written, str):
        key, colon, value = written.partition(":")
        suggestion = f'{key}: "{value.strip()}"' if colon else nearest(written, _RULES)
        suggestion = f'email: "{written}"' if "@" in key else suggestion
    raise Refused("a rule is everyone, or one of email:, account: and team: with its value", suggestion)


def _parse_roles(written: object) -> tuple[str, ...]:
    if written is None:
        return ()
    roles = written if isinstance(written, list) else [written]
    for role in roles:
        if role not in _ROLES:
            suggestion = nearest(role, _ROLES) if isinstance(role, str) else None
            raise Refused(f"a role is {one_of(_ROLES)}", suggestion)
    if not roles:
        raise Refused("a list of roles has at least one in it")
    return tuple(dict.fromkeys(roles))


def parse_email_pattern(text: str) -> EmailPattern:
    """`*@studio.example.com`, `jo@studio.example.com`, or `*@*.example.com` for any subdomain."""
    local, at, host = text.partition("@")
    if not at:
        suggestion = f"*@{text.removeprefix('*')}" if "." in text else None
        raise Refused("an email pattern has one '@' in it", suggestion)
    if "@" in host or (local != "*" and not _LOCAL_PART.fullmatch(local)):
        raise Refused("an email pattern is one mailbox or '*', one '@' and a domain")
    subdomains = host.startswith("*.")
    name = host.removeprefix("*.")
    if "*" in name:
        raise Refused("a '*' in the domain stands only as a whole first part, as in *@*.example.com")
    if "." not in name:
        raise Refused("an email pattern names a domain with a dot in it, such as *@studio.example.com")
    return EmailPattern(None if local == "*" else local.lower(), parse_domain(name), subdomains)


def parse_public_rule(text: str) -> PublicRule:
    """`GET /healthz`, or `/assets/*` for GET and HEAD."""
    method, space, path = text.partition(" ") if not text.startswith("/") else ("", "", text)
    if not space and method:
        raise Refused("a public rule is a path, or a method and a path, such as GET /healthz", f"/{text}")
    if method and method not in _METHODS:
        near = nearest(method, _METHODS)
        raise Refused(f"the method of a rule is {one_of(_METHODS)}", f"{near} {path}" if near else None)
    below = path.endswith("*")
    if "*" in path[:-1] or (below and not path.endswith("/*")):
        folder = path.partition("*")[0]
        raise Refused("a '*' stands only at the end, after a '/'", f"{method}{space}{folder.rstrip('/')}/*")
    path = parse_plain_path(path.removesuffix("*"))
    if path.startswith(OUR_ROUTES):
        raise Refused(f"{OUR_ROUTES} belongs to the proxy and needs no rule")
    return PublicRule(frozenset({method} if method else {"GET", "HEAD"}), path, below)


def require_decidable(rules: tuple["Rule", ...], api: str, scopes: tuple[str, ...]) -> None:
    """Refused if a rule asks for something that this api, or a token with these scopes, does not tell."""
    members = [rule for rule in rules if isinstance(rule, Member)]
    teams = any(rule.of == "team" for rule in members)
    if api == "v4" and teams:
        raise Refused("Frame.io v4 tells nothing of teams; let in an account, or email addresses")
    if api == "v4" and any(set(rule.roles) - set(_V4_ROLES) for rule in members):
        raise Refused(f"in Frame.io v4 a role is {one_of(_V4_ROLES)}")
    if api == "v2" and teams and "team.read" not in scopes:
        raise Refused("a rule for a team needs the scope team.read in frameio.scopes")


def _parse_uuid(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", text):
        raise Refused("an id of Frame.io is a UUID, such as 2f1c7d0e-5b7a-4a52-9d3c-1f6d5c1f4b20")
    return str(UUID(text))


def _parse_recheck(text: str) -> float:
    seconds = parse_duration(text)
    if seconds < _SHORTEST_RECHECK:
        raise Refused("Frame.io counts each visitor's calls, so recheck is at least 1m", "1m")
    return seconds


def _require_everyone_alone(rules: tuple["Rule", ...]) -> tuple["Rule", ...]:
    if len(rules) > 1 and Everyone() in rules:
        raise Refused("everyone lets everybody in, so the other rules would do nothing; keep one or the other")
    return rules


Rule = Annotated[
    Everyone | EmailPattern | Member,
    PlainValidator(parse_rule),
    PlainSerializer(lambda rule: rule.write(), when_used="json"),
    WithJsonSchema(_RULE_SCHEMA),
]


class Access(Section):
    """Who may enter, and what needs no sign-in."""

    allow: Annotated[tuple[Rule, ...], Field(min_length=1), AfterValidator(_require_everyone_alone)]
    """[everyone], or rules: email: "*@studio.example.com", account: UUID, team: UUID, the latter two also with
    role: beside them. One that fits is enough."""
    public: tuple[Annotated[PublicRule, FromText(parse_public_rule, PublicRule.write)], ...] = ()
    """What reaches the tool without session and token: "GET /healthz", "/assets/*" (GET and HEAD)."""
    bearer: Flag = False
    """Let programs in with a Frame.io token of their own, sent as Authorization: Bearer; allow decides as ever."""
    recheck: Annotated[float, FromText(_parse_recheck, write_duration, DURATION_SCHEMA)] = 3600.0
    """Profile and standing are asked again this often with the present token, refreshed or not; at least 1m."""
