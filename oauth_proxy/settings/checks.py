"""What makes the smaller values good, alone and beside each other."""

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from publicsuffixlist import PublicSuffixList
from pydantic import SecretBytes, ValidationInfo

from oauth_proxy.settings.addresses import Listen, is_ip
from oauth_proxy.settings.problems import Refused, one_of, reason
from oauth_proxy.settings.rules import V4_ROLES, Everyone, Member, Rule, placeholders
from oauth_proxy.settings.stores import Sqlite, Store
from oauth_proxy.settings.units import duration, written_duration

T = TypeVar("T")

_COOKIE_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_SHORTEST_RECHECK = 60.0
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,100}")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a value may depend on outside of itself: the file's folder, and the public URL where that is good."""

    folder: Path
    public_url: str | None = None


def flag(text: str) -> bool:
    """True or false; Refused for what YAML 1.1 also took for them."""
    if text not in ("true", "false"):
        meant = {"yes": "true", "on": "true", "1": "true", "no": "false", "off": "false", "0": "false"}
        raise Refused(
            "this must be true or false",
            meant.get(text.lower(), text.lower() if text.lower() in ("true", "false") else None),
        )
    return text == "true"


def file(path: Path, info: ValidationInfo) -> Path:
    """The file's absolute path; Refused where it cannot be read."""
    found = _reading(info).folder / path
    try:
        with found.open("rb"):
            return found
    except OSError as error:
        raise Refused(f"the file cannot be read: {reason(error)}") from None


def folder(path: Path, info: ValidationInfo) -> Path:
    """The folder's absolute path; Refused where it cannot be read."""
    found = _reading(info).folder / path
    try:
        next(found.iterdir(), None)
    except OSError as error:
        raise Refused(f"the folder cannot be read: {reason(error)}") from None
    return found


def standing(rules: tuple[Rule, ...], api: str | None, scopes: tuple[str, ...]) -> None:
    """Refused where a rule asks what this api, or the scopes, cannot tell."""
    members = [rule for rule in rules if isinstance(rule, Member)]
    if api == "v4" and any(rule.of == "team" for rule in members):
        raise Refused("Frame.io v4 tells nothing of teams; let in an account, or email addresses")
    if api == "v4" and any(set(rule.roles) - set(V4_ROLES) for rule in members):
        raise Refused(f"in Frame.io v4 a role is {one_of(V4_ROLES)}")
    if api == "v2" and any(rule.of == "team" for rule in members) and "team.read" not in scopes:
        raise Refused("a rule for a team needs the scope team.read in frameio.scopes")


def stored(store: Store, info: ValidationInfo) -> Store:
    """The store, its path absolute; Refused where no file can be at that path.

    Whether it can be written is for whoever opens it: `check` may be another user.
    """
    if not isinstance(store, Sqlite):
        return store
    found = _reading(info).folder / store.path
    try:
        kind = found.stat().st_mode
    except FileNotFoundError:
        if not found.parent.is_dir():
            raise Refused("the folder of this file is not there") from None
    except OSError as error:
        raise Refused(f"the file cannot be used: {reason(error)}") from None
    else:
        if stat.S_ISDIR(kind):
            raise Refused("this is a folder, and the store is a file", f"{store}/sessions.db")
        if not stat.S_ISREG(kind):
            raise Refused("this is a device or a socket, and the store is a file")
    return Sqlite(found)


def recheck(text: str) -> float:
    """Seconds from one question for profile and standing to the next, at least a minute; else Refused."""
    seconds = duration(text)
    if seconds < _SHORTEST_RECHECK:
        raise Refused("Frame.io counts each visitor's calls, so recheck is at least 1m", "1m")
    return seconds


def scope(text: str) -> str:
    """One scope-token (RFC 6749 3.3); Refused where it is several."""
    if not _SCOPE.fullmatch(text):
        raise Refused("each scope is one word; several stand in a list")
    return text


def cookie_name(text: str) -> str:
    """A token (RFC 6265 4.1.1) to which the proxy may put a prefix; else Refused."""
    if re.match("__(host|secure)-", text, re.IGNORECASE):
        raise Refused(
            "the proxy puts __Host- or __Secure- before the name itself", re.sub("^__[A-Za-z]+-", "", text) or None
        )
    if not _COOKIE_NAME.fullmatch(text):
        raise Refused("a cookie's name is letters, digits, '-' and '_', at most 64 of them")
    return text


def cookie_path(text: str) -> str:
    """The root; Refused for anything below it."""
    if text != "/":
        raise Refused("the cookie's path is always '/': elsewhere routes under /oauth2/ would not get it", "/")
    return text


def cookie_domain(domain: str, info: ValidationInfo) -> str:
    """A domain that the public host lies in (RFC 6265 5.1.3), and not a public suffix (5.3); else Refused."""
    public_url = _reading(info).public_url
    host = urlsplit(public_url).hostname if public_url else None
    if "." not in domain or is_ip(domain):
        raise Refused("a cookie's domain has a dot in it and is not an address")
    suffixes = _suffixes()
    if suffixes.is_public(domain):
        raise Refused(
            "anybody may have hosts in this domain, a public suffix (publicsuffix.org): browsers drop the cookie",
            suffixes.privatesuffix(host) if host else None,
        )
    if host and host != domain and not host.endswith(f".{domain}"):
        raise Refused("the host of public_url does not lie in this domain, so browsers would drop the cookie")
    return domain


def not_strict(text: object) -> object:
    """Anything but `strict`, which is Refused with the reason."""
    if text == "strict":
        raise Refused(
            "strict cannot work: browsers do not send such a cookie on the way back from Frame.io, "
            "so signing in would go round for ever",
            "lax",
        )
    return text


def same_site(text: str, info: ValidationInfo) -> str:
    """The attribute; Refused where browsers would drop the cookie because of it."""
    public_url = _reading(info).public_url
    if text == "none" and public_url and not public_url.startswith("https://"):
        raise Refused("none needs https: browsers drop such a cookie over http", "lax")
    return text


def several(value: object) -> object:
    """A list, also from one text with an entry on each line, as a file for rotated secrets has them."""
    return value.split() if isinstance(value, str) else value


def different(secrets: tuple[SecretBytes, ...]) -> tuple[SecretBytes, ...]:
    """The secrets; Refused where one stands twice."""
    if len(set(secrets)) < len(secrets):
        raise Refused("the same session secret stands here twice")
    return secrets


def idle(seconds: float, lifetime: float | None) -> float:
    """The idle time; Refused where the lifetime (None: not known) ends first."""
    if lifetime is not None and seconds > lifetime:
        raise Refused("idle is longer than lifetime, so it would never end a session", written_duration(lifetime))
    return seconds


def everyone_alone(allow: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """The rules; Refused where `everyone` makes the others pointless."""
    if len(allow) > 1 and Everyone() in allow:
        raise Refused("everyone lets everybody in, so the other rules would do nothing; keep one or the other")
    return allow


def names_differ(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers; Refused where a tool could take two names for one (case, or '_' for '-')."""
    folded = [name.lower().replace("_", "-") for name in headers]
    if len(set(folded)) < len(folded):
        raise Refused("two of these names are the same header: case, and '_' for '-', make no difference to tools")
    return headers


def paths_differ(webhooks: Mapping[str, T]) -> Mapping[str, T]:
    """The webhooks; Refused where a tool could take two paths for one (case, or a slash at the end)."""
    folded = [path.lower().rstrip("/") for path in webhooks]
    if len(set(folded)) < len(folded):
        raise Refused("to many tools two of these paths are one: they ignore case, or a slash at the end")
    return webhooks


def shown_name(text: str) -> str:
    """One line of printable text of at most 80 characters; else Refused."""
    if not text.isprintable() or len(text) > 80:
        raise Refused("the name is one line of at most 80 characters")
    return text


def apart(name: str, listen: Listen, others: Mapping[str, Listen | None]) -> None:
    """Refused where this listener, `name` in the file, is one of the others; a free port is nobody's."""
    for other, taken in others.items():
        if listen == taken and (listen.path or listen.port):
            raise Refused(f"{name} is {other}; the two must differ")


def handles(headers: Mapping[str, str], *, useful: bool) -> Mapping[str, str]:
    """The headers; Refused where one has a handle and there is nobody to take it."""
    if not useful and any("handle" in placeholders(template) for template in headers.values()):
        raise Refused("the placeholder {handle} needs tool_api, where tools exchange it for a fresh token")
    return headers


@cache
def _suffixes() -> PublicSuffixList:
    """The list of publicsuffix.org, read where it is asked for: that takes a twentieth of a second."""
    return PublicSuffixList()


def _reading(info: ValidationInfo) -> Reading:
    reading = info.context
    if not isinstance(reading, Reading):
        raise TypeError("settings are read with a Reading as their context")
    return reading
