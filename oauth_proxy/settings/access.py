"""The section `access`: the rules that say who may enter, and the requests that need no sign-in."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema

from oauth_proxy.settings import hints
from oauth_proxy.settings.addresses import OUR_ROUTES, parse_plain_path
from oauth_proxy.settings.emails import EmailPattern, parse_email_pattern, read_email_list
from oauth_proxy.settings.fields import FromText, Section, reading
from oauth_proxy.settings.problems import Refused, kind, nearest, one_of
from oauth_proxy.settings.scalars import DURATION_SCHEMA, Flag, parse_duration, write_duration

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_ROLES = ("owner", "admin", "account_manager", "billing_manager", "team_manager", "member", "reviewer")
"""Frame.io's names for what somebody is in an account or a team."""
_V4_ROLES = ("owner", "admin", "member")
_ROLE_SCHEMA = {
    "description": "Only who holds this role there, or one of several.",
    "anyOf": [{"enum": [*_ROLES]}, {"type": "array", "items": {"enum": [*_ROLES]}, "minItems": 1}],
}
RULE_SCHEMA = {
    "anyOf": [
        {"const": "everyone", "description": "Anybody with a Frame.io account."},
        *(
            {
                "type": "object",
                "properties": {
                    key: {"type": "string", "description": description},
                    **({"role": _ROLE_SCHEMA} if key in ("account", "team") else {}),
                },
                "required": [key],
                "additionalProperties": False,
            }
            for key, description in {
                "email": "*@studio.example.com, a mailbox, or *@*.example.com.",
                "account": "The UUID of a Frame.io account.",
                "team": "The UUID of a Frame.io team (v2 only; needs the scope team.read).",
                "emails_file": "A file with an email pattern on each line; it is read again when it changes.",
                "group": "The name of a list in access.groups.",
            }.items()
        ),
    ]
}
_RULES = ("everyone", "email", "account", "team", "emails_file", "group")
_GROUP = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SHORTEST_RECHECK = 60.0


@dataclass(frozen=True, slots=True)
class Everyone:
    """Anybody with a Frame.io account."""

    def write(self) -> str:
        """The rule as the file has it."""
        return "everyone"


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
class EmailsFile:
    """The mailboxes of the patterns in this file, as it is now."""

    path: Path

    def write(self) -> dict[str, str]:
        """The rule as the file has it."""
        return {"emails_file": str(self.path)}


@dataclass(frozen=True, slots=True)
class Group:
    """Whoever a rule of the list with this name in `access.groups` fits."""

    name: str

    def write(self) -> dict[str, str]:
        """The rule as the file has it."""
        return {"group": self.name}


@dataclass(frozen=True, slots=True)
class PublicRule:
    """Requests that need no session: for one path, or with `below` for every path that begins with it.

    With `below` the path ends in '/'. Unless it has `sockets`, it is for no WebSocket, which is a GET too.
    """

    methods: frozenset[str]
    path: str
    below: bool = False
    sockets: bool = True

    def write(self) -> str:
        """The rule as the file has it: without a method it means GET and HEAD."""
        path = self.path + ("*" if self.below else "")
        return path if len(self.methods) > 1 else f"{next(iter(self.methods))} {path}"


def parse_rule(written: object) -> "Rule":
    """`everyone`, or a mapping with one of the other keys, and with `role` if that is account or team.

    There is no rule for a role alone: everybody who holds it in an account of their own would be let in.
    """
    if written == "everyone":
        return Everyone()
    key, value, role = _parse_mapping(written)
    if not isinstance(value, str):
        raise Refused(f"one value is wanted here, not {kind(value)}; each has a rule of its own")
    if role is not None and key not in ("account", "team"):
        raise Refused("a role stands beside an account or a team")
    match key:
        case "email":
            return parse_email_pattern(value)
        case "emails_file":
            return EmailsFile(Path(value))
        case "group":
            return Group(value)
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
            suggestion = hints.rule_of(key, value, _RULES)
    elif isinstance(written, str):
        suggestion = hints.rule(written, _RULES)
    keys = one_of([f"{key}:" for key in _RULES[1:]])
    raise Refused(f"a rule is everyone, or {keys} with its value", suggestion)


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


def parse_public_rule(text: str) -> PublicRule:
    """`GET /healthz`, or `/assets/*` for GET and HEAD."""
    if text.startswith("^"):
        raise Refused("a public rule is no regular expression, but a path, such as /healthz or /assets/*")
    method, space, path = text.partition(" ") if not text.startswith("/") else ("", "", text)
    if method == "*" and space:
        raise Refused(f"the method of a rule is {one_of(_METHODS)}; a path alone is GET and HEAD", path)
    if not space and method:
        suggestion = re.sub("^(?:([A-Za-z]+)[:=]/)?", lambda match: f"{match[1]} /" if match[1] else "/", text)
        raise Refused("a public rule is a path, or a method and a path, such as GET /healthz", suggestion)
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


def require_decidable(rules: Iterable["Rule"], api: str, scopes: tuple[str, ...]) -> None:
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


def _require_people(rules: tuple["Rule", ...]) -> tuple["Rule", ...]:
    if Everyone() in rules:
        raise Refused("everyone stands in access.allow alone; anywhere else, rules name some of them")
    return rules


def _require_rules(rules: tuple["Rule", ...]) -> tuple["Rule", ...]:
    if any(isinstance(rule, Group) for rule in _require_people(rules)):
        raise Refused("a group holds rules, and no other group")
    return rules


def _parse_group(text: str) -> str:
    if not _GROUP.fullmatch(text):
        raise Refused("a group's name is letters, digits, '_' and '-', at most 64 of them")
    return text


def _read_rule(written: object, info: ValidationInfo) -> "Rule":
    """A rule of this file: its list can be read, and its group is one of the file's."""
    rule, context = parse_rule(written), reading(info)
    if isinstance(rule, EmailsFile):
        rule = EmailsFile(context.at(rule.path))
        read_email_list(rule.path)
    if isinstance(rule, Group) and rule.name not in context.groups:
        raise Refused("access.groups has no group of this name", nearest(rule.name, context.groups))
    return rule


Rule = Annotated[
    Everyone | EmailPattern | Member | EmailsFile | Group,
    PlainValidator(_read_rule),
    PlainSerializer(lambda rule: rule.write(), when_used="json"),
    WithJsonSchema(RULE_SCHEMA),
]
Narrowing = Annotated[tuple[Rule, ...], Field(min_length=1), AfterValidator(_require_people)]
"""Rules for some of those who may enter."""
Denying = Annotated[tuple[Rule, ...], AfterValidator(_require_people)]
"""Rules for those who may not enter, whatever else fits."""
Groups = Mapping[
    Annotated[str, FromText(_parse_group)],
    Annotated[tuple[Rule, ...], Field(min_length=1), AfterValidator(_require_rules)],
]


class Access(Section):
    """Who may enter, and what needs no sign-in."""

    groups: Groups = Field(default_factory=dict)
    """Name → list of rules that group: stands for, here and in upstreams, so that a list is written once."""
    allow: Annotated[tuple[Rule, ...], Field(min_length=1), AfterValidator(_require_everyone_alone)]
    """[everyone] (with a Frame.io account), or rules, of which one must fit: email: "*@studio.example.com",
    emails_file: PATH, group: NAME, account: UUID or team: UUID, these two also with role: beside them."""
    deny: Denying = ()
    """Rules as in allow: whom one of them fits stays out, whatever allow says."""
    public: tuple[Annotated[PublicRule, FromText(parse_public_rule, PublicRule.write)], ...] = ()
    """What reaches the tool without session and token, such as "GET /healthz" or "/assets/*". Without a method it
    is GET and HEAD."""
    public_assets: Flag = False
    """Let anybody have what browsers fetch without cookies: manifests, favicon, robots.txt, touch icons."""
    bearer: Flag = False
    """Let programs in with a Frame.io token of their own, sent as Authorization: Bearer; allow decides as ever."""
    recheck: Annotated[float, FromText(_parse_recheck, write_duration, DURATION_SCHEMA)] = 3600.0
    """Profile and standing are asked again this often with the present token, refreshed or not; at least 1m."""


def expanded(rules: Iterable[Rule], groups: Mapping[str, tuple[Rule, ...]]) -> Iterator[Rule]:
    """The same rules with the rules of each group in its place."""
    for rule in rules:
        yield from groups[rule.name] if isinstance(rule, Group) else (rule,)
