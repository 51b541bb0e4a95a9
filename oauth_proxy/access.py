"""Decides who has access, and which paths are public.

The law: deny by default. A user whom no rule matches has no access, and a path that can be read in two ways is not
public. What an upstream's rules say only narrows that: they let nobody in whom the rules of the site refuse.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from oauth_proxy.identity import Identity
from oauth_proxy.paths import Target, folded
from oauth_proxy.settings import (
    EmailList,
    EmailPattern,
    EmailsFile,
    Everyone,
    Group,
    Member,
    PublicRule,
    Refused,
    Rule,
    parse_domain,
)

_MAILBOX = re.compile(r"([^@\s\x00-\x1f\x7f]{1,64})@([^@\s\x00-\x1f\x7f]{1,253})")
_PATHS = 512
"""Paths whose places are remembered."""

Places = tuple[str, ...]
"""The prefixes of the upstreams whose own rules hold for a path."""


class Refusal(NamedTuple):
    """Why somebody has no access: the `cause` for the log. `everywhere`: to nothing, not only not to one tool."""

    cause: str
    everywhere: bool


class Rules(NamedTuple):
    """Whom `allow` fits (None: anybody) has access, unless `deny` fits too. There is no Group in them."""

    allow: Sequence[Rule] | None
    deny: Sequence[Rule] = ()


_TOLD = 12
"""Rules that are named in a line of the log."""


class Access:
    """The access rules of the configuration; they are checked for every request.

    `upstreams` has the rules of every upstream by its prefix. `lists` has the list of each EmailsFile now.
    """

    def __init__(
        self,
        allow: Sequence[Rule],
        public: Sequence[PublicRule],
        *,
        deny: Sequence[Rule] = (),
        upstreams: Mapping[str, Rules] | None = None,
        lists: Mapping[Path, EmailList] | None = None,
    ) -> None:
        self._lists = {} if lists is None else lists
        upstreams = upstreams or {}
        self._site = self._checks(Rules(allow, deny), "access", everywhere=True)
        self._upstreams = {
            prefix: self._checks(rules, f"upstreams.{prefix}", everywhere=False)
            for prefix, rules in upstreams.items()
            if rules.allow is not None or rules.deny
        }
        self._prefixes = {prefix: min(folded(prefix), default=prefix) for prefix in upstreams}
        self._find_places = lru_cache(_PATHS)(self._places_of)
        self._public_paths = {
            (method, rule.path): rule for rule in reversed(public) if not rule.below for method in rule.methods
        }
        self._public_folders = [rule for rule in public if rule.below]

    def become(self, other: "Access") -> None:
        """Decide as `other` does from now on, wherever this object is used."""
        self.__dict__.update(other.__dict__)

    def allows(self, identity: Identity, places: Places = ()) -> bool:
        """Whether this user has access to the site, and to a path in these places."""
        return self.refusal(identity, places) is None

    def refusal(self, identity: Identity, places: Places = ()) -> Refusal | None:
        """Why this user has no access to the site, or to a path in these places; None if they have."""
        refusal = self._site(identity)
        for place in places:
            refusal = refusal or self._upstreams[place](identity)
        return refusal

    def places(self, target: Target) -> Places:
        """Where this path lies: in the upstream with the longest prefix, as we choose the tool.

        Where the tool might read it as lying in another one, in that too: no spelling leads round its rules.
        """
        return self._find_places(target.raw, target.path) if self._upstreams else ()

    def is_public(self, method: str, target: Target) -> bool:
        """Whether a request may reach the tool without a session; never for a path that has two readings."""
        return self.public_rule(method, target) is not None

    def public_rule(self, method: str, target: Target) -> PublicRule | None:
        """The rule by which a request needs no session."""
        if not target.plain:
            return None
        rule = self._public_paths.get((method, target.path))
        if rule is not None or not self._public_folders:
            return rule
        folders = self._public_folders
        return next(
            (each for each in folders if method in each.methods and target.path.startswith(each.path)), None
        )

    def _places_of(self, raw: str, path: str) -> Places:
        readings = folded(raw)
        if not readings:
            return tuple(self._upstreams)
        ours = max((prefix for prefix in self._prefixes if path.startswith(prefix)), key=len, default="")
        found = {ours}.union(*(self._read_as(reading, ours) for reading in readings))
        return tuple(prefix for prefix in self._upstreams if prefix in found)

    def _read_as(self, reading: str, ours: str) -> set[str]:
        """The prefixes by which the tool may choose if it reads this: if not as we do, also those around it."""
        read = {prefix: len(each) for prefix, each in self._prefixes.items() if reading.startswith(each)}
        innermost = {prefix for prefix, length in read.items() if length == max(read.values())}
        return innermost if ours in innermost else {prefix for prefix in read if len(prefix) >= len(ours)}

    def _checks(self, rules: Rules, key: str, *, everywhere: bool) -> Callable[[Identity], Refusal | None]:
        """The check of these rules, which stand in the file under this key."""
        denied = Refusal(f"a rule of {key}.deny fits", everywhere)
        not_allowed = Refusal(f"no rule of {key}.allow fits: {_tried(rules.allow or ())}", everywhere)
        anybody = rules.allow is None or any(isinstance(rule, Everyone) for rule in rules.allow)
        allow, deny = tuple(rules.allow or ()), tuple(rules.deny)

        def check(identity: Identity) -> Refusal | None:
            if deny and any(self.denies(rule, identity) for rule in deny):
                return denied
            return None if anybody or any(self.fits(rule, identity) for rule in allow) else not_allowed

        return check

    def fits(self, rule: Rule, identity: Identity) -> bool:
        """Whether a rule of an `allow` names this user."""
        match rule:
            case Everyone():
                return True
            case Member():
                return _belongs(rule, identity)
            case EmailPattern() | EmailsFile():
                mailbox = _mailbox(identity.email or "")
                # Only ASCII, because other characters may become ASCII in lower case: the Kelvin sign becomes k.
                return mailbox is not None and self._names(
                    rule, mailbox[0].lower() if mailbox[0].isascii() else "", mailbox[1]
                )
            case Group():
                raise TypeError("groups are replaced by their rules before these are checked")

    def denies(self, rule: Rule, identity: Identity) -> bool:
        """Whether a rule of a `deny` fits, or may fit: nobody gets in by an address that cannot be read."""
        if not isinstance(rule, EmailPattern | EmailsFile):
            return self.fits(rule, identity)
        mailbox = _mailbox(identity.email or "")
        if mailbox is None:
            return True
        local = mailbox[0].lower() if mailbox[0].isascii() else _looks_like(mailbox[0])
        return self._names(rule, local, mailbox[1])

    def _names(self, rule: EmailPattern | EmailsFile, local: str, domain: str) -> bool:
        """Whether a rule about addresses names this one."""
        if isinstance(rule, EmailsFile):
            return self._lists[rule.path].has(local, domain)
        if rule.local is not None and local != rule.local:
            return False
        return domain.endswith("." + rule.domain) if rule.subdomains else domain == rule.domain


def _tried(allow: Sequence[Rule]) -> str:
    """These rules, for the log. It names nobody's mailbox."""
    told = Counter(map(_told, allow))
    rules = [text if number == 1 else f"{text} ({number} times)" for text, number in told.items()]
    more = [f"{len(rules) - _TOLD} more"] if len(rules) > _TOLD else []
    return ", ".join(rules[:_TOLD] + more)


def _told(rule: Rule) -> str:
    match rule:
        case Everyone():
            return "everyone"
        case Member():
            return f"{rule.of} {rule.id}{' as ' + ' or '.join(rule.roles) if rule.roles else ''}"
        case EmailPattern():
            domain = f"{'*.' if rule.subdomains else ''}{rule.domain}"
            return f"*@{domain}" if rule.local is None else f"a mailbox at {domain}"
        case EmailsFile():
            return f"the addresses in {rule.path}"
        case Group():
            raise TypeError("groups are replaced by their rules before these are checked")


def _belongs(rule: Member, identity: Identity) -> bool:
    place = f"{rule.of}:{rule.id}"
    if rule.roles:
        return any(f"{place}:{role}" in identity.standing for role in rule.roles)
    at_home = rule.of == "account" and (identity.account_id or "").lower() == rule.id
    return at_home or place in identity.standing


@lru_cache(maxsize=1024)
def _mailbox(email: str) -> tuple[str, str] | None:
    """What stands before the one '@', and the domain in its ASCII form (RFC 5890); None if it is no address."""
    mailbox = _MAILBOX.fullmatch(email)
    if mailbox is None:
        return None
    try:
        return mailbox[1], parse_domain(mailbox[2])
    except Refused:
        return None


def _looks_like(local: str) -> str:
    return unicodedata.normalize("NFKC", local).casefold()
