"""What needed no sign-in: skip_auth_routes, skip_auth_regex and skip_auth_preflight as rules of access.public."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from oauth_proxy.migration.draft import Draft
from oauth_proxy.migration.patterns import Matched, matched
from oauth_proxy.migration.sources import Theirs
from oauth_proxy.migration.upstreams import Lost
from oauth_proxy.settings import Refused, parse_public_rule, quoted

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_READING = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of a list: what to call it, its method (empty for all), its expression, or why it has none."""

    name: str
    method: str
    expression: str
    why_not: str = ""


def carry_public(theirs: Theirs, lost: Sequence[Lost], draft: Draft) -> None:
    """Write access.public; an expression that is more than paths and prefixes is only named.

    What is public may not lead to another tool than before: nothing is public where one of the `lost` was.
    """
    rules: dict[str, None] = {}
    for entry in _entries(theirs):
        reading = matched(entry.expression) if not entry.why_not else None
        if reading is None:
            why = entry.why_not or (
                "it matches more than single paths and prefixes, which is all that access.public knows"
            )
            draft.left("access", entry.name, f"{quoted(entry.expression)} stays behind the sign-in: {why}")
            continue
        if any(each.meets(path, below) for path, below in reading.paths for each in lost):
            why = "it was about an upstream that is not carried over, so it would open another tool"
            draft.left("access", entry.name, f"{quoted(entry.expression)} stays behind the sign-in: {why}")
            continue
        found, refused = _rules(entry, reading)
        rules |= dict.fromkeys(found)
        _remark(entry, reading, found, refused, draft)
    if theirs.flag("skip_auth_preflight"):
        name = theirs.name("skip_auth_preflight")
        if lost:
            draft.left("access", name, "an upstream is not carried over, so OPTIONS would reach another tool")
        else:
            rules["OPTIONS /*"] = None
    if rules:
        draft.put(list(rules), "access", "public")
        draft.part(
            "access",
            "public paths",
            "the tool learns of nobody who is signed in there, and of no path that servers read differently",
        )
    if "/*" in rules:
        draft.to_do("access", "public", "everything is public, as it was: nobody has to sign in for anything")


def _entries(theirs: Theirs) -> Iterator[_Entry]:
    for number, written in enumerate(theirs.items("skip_auth_routes"), 1):
        name = f"{theirs.name('skip_auth_routes')} {number}"
        # As oauth2-proxy splits it, also where the '=' belongs to the expression.
        first, *rest = re.split("!?=", written, maxsplit=1)
        if not rest:
            yield _Entry(name, "", first)
        elif "!=" in written:
            yield _Entry(name, "", written, "it is about every path but these")
        elif first.upper() not in _METHODS:
            yield _Entry(name, "", written, f"the method of a rule is one of {', '.join(_METHODS)}")
        else:
            yield _Entry(name, first.upper(), rest[0])
    for number, written in enumerate(theirs.items("skip_auth_regex"), 1):
        yield _Entry(f"{theirs.name('skip_auth_regex')} {number}", "", written)


def _rules(entry: _Entry, reading: Matched) -> tuple[list[str], int]:
    """The rules that say it, and how many of its paths no rule can name."""
    rules, refused = [], 0
    for path, below in reading.paths:
        named = path + ("*" if below else "")
        try:
            parse_public_rule(named)
        except Refused:
            refused += 1
            continue
        if entry.method:
            rules.append(f"{entry.method} {named}")
        else:
            rules += [named, *(f"{method} {named}" for method in _METHODS if method not in _READING)]
    return rules, refused


def _remark(entry: _Entry, reading: Matched, found: list[str], refused: int, draft: Draft) -> None:
    expression = quoted(entry.expression)
    if not found:
        draft.left(
            "access", entry.name, f"{expression} names nothing that a rule may: /oauth2/ is the proxy's own"
        )
    elif refused:
        why = "what is the proxy's own (/oauth2/), or has signs in it that no rule may have, is not public"
        draft.part("access", entry.name, f"of {expression}, {why}")
    elif not reading.exact:
        draft.part(
            "access",
            entry.name,
            f"{expression} matches more paths than are public now: without '^' also in the middle of a path, "
            "without '$' whatever goes on, and '.' is any character",
        )
