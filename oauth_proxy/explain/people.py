"""The rules about people that decide on a request, each with its line, and what they say of somebody.

The law: whether a rule fits is asked of the code that serves visitors. Where only Frame.io could tell, nothing is
guessed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from oauth_proxy.access import Access, Places
from oauth_proxy.identity import Identity
from oauth_proxy.settings import Everyone, Group, Lines, Member, Rule, Settings


@dataclass(frozen=True, slots=True)
class Listed:
    """A rule, and where it stands: one of a group stands in the group."""

    rule: Rule
    at: str | None


@dataclass(frozen=True, slots=True)
class RuleList:
    """An `allow` or a `deny` of the file, by its `key`; `of` is the prefix of the upstream that it is for."""

    key: str
    of: str
    denies: bool
    rules: Sequence[Listed]

    def fitting(self, access: Access, identity: Identity) -> list[Listed]:
        """Those that fit this person for certain."""
        fits = access.denies if self.denies else access.fits
        known = [each for each in self.rules if not _is_open(each.rule, identity)]
        return [each for each in known if fits(each.rule, identity)]

    def open(self, identity: Identity) -> list[Listed]:
        """Those of which only Frame.io can say whether they fit."""
        return [each for each in self.rules if _is_open(each.rule, identity)]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether somebody is let in, and the lists that decide it, with the rules that do."""

    end: Literal["in", "out", "open"]
    cause: str
    by: Sequence[tuple[RuleList, Sequence[Listed]]]


def rule_lists(settings: Settings, lines: Lines, places: Places) -> Iterator[RuleList]:
    """The lists that hold for these places: those of the site, and those of upstreams."""

    def listed(path: tuple[str, ...], rules: Sequence[Rule]) -> Iterator[Listed]:
        for number, rule in enumerate(rules):
            if isinstance(rule, Group):
                group = settings.access.groups[rule.name]
                yield from (
                    Listed(each, lines.at("access", "groups", rule.name, at)) for at, each in enumerate(group)
                )
            else:
                yield Listed(rule, lines.at(*path, number))

    site: tuple[str, ...] = ("access",)
    places_of_file = [("access", "", site, settings.access.deny, settings.access.allow)]
    for prefix in places:
        upstream = settings.upstreams[prefix]
        at = ("upstreams", prefix)
        places_of_file.append((f"upstreams.{prefix}", prefix, at, upstream.deny, upstream.allow or ()))
    for key, of, path, deny, allow in places_of_file:
        if deny:
            yield RuleList(f"{key}.deny", of, True, list(listed((*path, "deny"), deny)))
        if allow:
            yield RuleList(f"{key}.allow", of, False, list(listed((*path, "allow"), allow)))


def verdict(access: Access, lists: Sequence[RuleList], identity: Identity, places: Places) -> Verdict:
    """What the lists say of somebody, as far as can be said without Frame.io."""
    fitting = [(each, each.fitting(access, identity)) for each in lists]
    unknown = [(each, each.open(identity)) for each in lists]
    is_sure = True
    for (each, fit), (_, may_fit) in zip(fitting, unknown, strict=True):
        if each.denies and fit:
            return Verdict("out", f"a rule of {each.key} fits", [(each, fit)])
        if not each.denies and not fit and not may_fit:
            return Verdict("out", f"no rule of {each.key} fits", [(each, each.rules)])
        is_sure = is_sure and bool(not may_fit if each.denies else fit)
    if is_sure and access.allows(identity, places):
        return Verdict("in", "", [(each, fit[:1]) for each, fit in fitting if not each.denies])
    return Verdict("open", "", [(each, may_fit) for each, may_fit in unknown if may_fit])


def _is_open(rule: Rule, identity: Identity) -> bool:
    """Whether only Frame.io can say if this rule fits: it knows who is where, and everybody's address."""
    return isinstance(rule, Member) or (not isinstance(rule, Everyone) and identity.email is None)
