"""Who may enter: email domains and the file of addresses, as rules of access.allow.

Law: where oauth2-proxy asked for more than an email address, nobody is let in by the address alone.
"""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from oauth_proxy.migration.draft import Draft
from oauth_proxy.migration.names import RESTRICTING, RESTRICTING_ALPHA
from oauth_proxy.migration.sources import Theirs
from oauth_proxy.settings import Refused, parse_email_pattern, quoted, read_email_list

Rule = dict[str, str]
"""A rule of access as the file has it."""

_NOBODY = "nobody@not-decided.invalid"
_MOST = 2000


def carry_entry(theirs: Theirs, draft: Draft) -> None:
    """Write access.allow; where nobody can be let in for certain, it names a mailbox that cannot exist."""
    rules: list[Rule] = []
    for rule in (*_domains(theirs, draft), *_mailboxes(theirs, draft)):
        if rule not in rules:
            rules.append(rule)
    narrowing = [theirs.name(key) for key in sorted(RESTRICTING) if _narrows(theirs, key)]
    narrowing += [f"providers: {key}" for key in sorted(set(_restrictions(theirs.alpha.get("providers"))))]
    if narrowing:
        draft.left(
            "access", narrowing, "Frame.io knows nothing of these groups, so nobody is let in by email alone"
        )
        meant = (
            f", or just the email rules: {', '.join(value for rule in rules for value in rule.values())}"
            if rules
            else ""
        )
        draft.to_do("access", "allow", f"write whom you mean: account: with a Frame.io account's UUID{meant}")
        rules = []
    elif not rules:
        draft.to_do("access", "allow", "nobody is let in yet; write whom you mean, such as email: '*@example.com'")
    if rules:
        draft.part(
            "access", "email", "an address is believed as Frame.io's profile has it; nobody else verifies it"
        )
    draft.put(rules or [{"email": _NOBODY}], "access", "allow")


def _narrows(theirs: Theirs, key: str) -> bool:
    return theirs.is_set(key) and (key, theirs.text(key)) != ("azure_tenant", "common")


def _restrictions(node: Any) -> Iterator[str]:
    """The keys below `providers` that let in fewer people."""
    if isinstance(node, list):
        for each in node:
            yield from _restrictions(each)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in RESTRICTING_ALPHA and value and (key, value) != ("tenant", "common"):
                yield key
            yield from _restrictions(value)


def _domains(theirs: Theirs, draft: Draft) -> Iterator[Rule]:
    name = theirs.name("email_domains")
    for domain in theirs.items("email_domains"):
        if domain == "*":
            draft.left(
                "access",
                name,
                "'*' let in everybody whom your provider knew; with Frame.io it would be everybody in the world "
                "who has an account there. If that is meant, write allow: [everyone]",
            )
            continue
        bare = domain.removeprefix("*")
        pattern = f"*@*{bare}" if bare.startswith(".") else f"*@{bare}"
        yield from _accepted(pattern, f"{name} {quoted(domain)}", draft)


def _mailboxes(theirs: Theirs, draft: Draft) -> Iterator[Rule]:
    """The file of addresses, if we read in it just what oauth2-proxy does; else each address."""
    name, path = theirs.name("authenticated_emails_file"), theirs.text("authenticated_emails_file")
    if not path:
        return
    try:
        found = _first_words(Path(path))
    except (OSError, UnicodeDecodeError, csv.Error):
        draft.left(
            "access", name, "the file cannot be read here, so nobody in it is let in; run migrate beside it"
        )
        return
    why = _why_not_as_it_is(Path(path), found)
    if why is None:
        draft.part(
            "access",
            name,
            "the file is read as it is, and again when it changes; a line such as *@example.com, by which nobody "
            "was let in, lets a whole domain in here",
        )
        yield {"emails_file": str(Path(path).absolute())}
        return
    if len(found) > _MOST:
        draft.left("access", name, f"{why}, and holds more than {_MOST} addresses, so nobody in it is let in")
        return
    for number, mailbox in enumerate(filter(None, found), 1):
        if mailbox.startswith("*"):
            draft.left("access", f"{name} entry {number}", "it is no mailbox, so nobody is let in by it")
            continue
        yield from _accepted(mailbox, f"{name} entry {number}", draft)
    draft.part("access", name, f"its addresses stand here as they were, because {why}")


def _first_words(path: Path) -> list[str]:
    """The first word of each line, as oauth2-proxy reads them. Raises OSError, UnicodeDecodeError, csv.Error."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, skipinitialspace=True)
        return [row[0].strip() for row in rows if row and not row[0].startswith("#")]


def _why_not_as_it_is(path: Path, found: Iterable[str]) -> str | None:
    """Why `emails_file` would not let in just those whom oauth2-proxy found in the file; None if it would."""
    try:
        ours = read_email_list(path).patterns
    except Refused as refused:
        return f"emails_file does not take the file ({refused.message})"
    mailboxes = [each for each in found if each and not each.startswith("*")]
    try:
        same = ours == {parse_email_pattern(each) for each in mailboxes}
    except Refused:
        same = False
    return None if same else "emails_file would let in others by the file: a line has more in it than an address"


def _accepted(pattern: str, name: str, draft: Draft) -> Iterator[Rule]:
    try:
        parse_email_pattern(pattern)
    except Refused as refused:
        draft.left("access", name, f"nobody is let in by it: {refused.message}")
    else:
        yield {"email": pattern}
