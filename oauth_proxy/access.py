"""Decides who has access, and which paths are public.

The law: deny by default. A user whom no rule matches has no access, and a path that can be read in two ways is not
public.
"""

import re
from collections.abc import Sequence

from oauth_proxy.identity import Identity
from oauth_proxy.paths import Target
from oauth_proxy.settings import EmailPattern, Everyone, Member, PublicRule, Refused, Rule, parse_domain

_MAILBOX = re.compile(r"([^@\s\x00-\x1f\x7f]{1,64})@([^@\s\x00-\x1f\x7f]{1,253})")


class Access:
    """The access rules of the configuration; they are checked for every request."""

    def __init__(self, allow: Sequence[Rule], public: Sequence[PublicRule]) -> None:
        self._allow = tuple(allow)
        self._everyone = any(isinstance(rule, Everyone) for rule in allow)
        self._public_paths = {(method, rule.path) for rule in public if not rule.below for method in rule.methods}
        self._public_folders = [rule for rule in public if rule.below]

    def become(self, other: "Access") -> None:
        """Decide as `other` does from now on, wherever this object is used."""
        self.__dict__.update(other.__dict__)

    def allows(self, identity: Identity) -> bool:
        """Whether any rule gives this user access."""
        return self._everyone or any(_fits(rule, identity) for rule in self._allow)

    def is_public(self, method: str, target: Target) -> bool:
        """Whether a request may reach the tool without a session; never for a path that has two readings."""
        if not target.plain:
            return False
        if (method, target.path) in self._public_paths:
            return True
        return bool(self._public_folders) and any(
            method in rule.methods and target.path.startswith(rule.path) for rule in self._public_folders
        )


def _fits(rule: Rule, identity: Identity) -> bool:
    match rule:
        case Everyone():
            return True
        case Member():
            return _belongs(rule, identity)
        case EmailPattern():
            return identity.email is not None and _fits_email(rule, identity.email)


def _belongs(rule: Member, identity: Identity) -> bool:
    place = f"{rule.of}:{rule.id}"
    if rule.roles:
        return any(f"{place}:{role}" in identity.standing for role in rule.roles)
    at_home = rule.of == "account" and (identity.account_id or "").lower() == rule.id
    return at_home or place in identity.standing


def _fits_email(pattern: EmailPattern, email: str) -> bool:
    """Exactly one '@'; domains are compared by label in their ASCII form (RFC 5890)."""
    mailbox = _MAILBOX.fullmatch(email)
    if mailbox is None:
        return False
    try:
        host = parse_domain(mailbox[2])
    except Refused:
        return False
    # Only ASCII, because other characters may become ASCII in lower case: the Kelvin sign becomes k.
    if pattern.local is not None and (not mailbox[1].isascii() or mailbox[1].lower() != pattern.local):
        return False
    return host.endswith("." + pattern.domain) if pattern.subdomains else host == pattern.domain
