"""Email addresses in rules: one pattern, and lists of them in files of their own.

No message shows what stands in such a file.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from oauth_proxy.settings.addresses import parse_domain
from oauth_proxy.settings.content import content, is_pipe
from oauth_proxy.settings.problems import Refused, reason

_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'+/=?^_`{|}~.-]{1,64}")
_LARGEST_LIST = 1024 * 1024


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
class EmailList:
    """Many patterns, in which looking one address up takes as long as in a few."""

    patterns: frozenset[EmailPattern] = field(repr=False)

    def has(self, local: str, domain: str) -> bool:
        """Whether a pattern fits this mailbox: `local` in lower case, `domain` as `parse_domain` has it."""
        return not self.patterns.isdisjoint(patterns_for(local, domain))

    def __len__(self) -> int:
        return len(self.patterns)


def patterns_for(local: str, domain: str) -> Iterator[EmailPattern]:
    """Every pattern that fits this mailbox."""
    yield EmailPattern(local, domain)
    yield EmailPattern(None, domain)
    _, dot, parent = domain.partition(".")
    while dot:
        yield EmailPattern(local, parent, subdomains=True)
        yield EmailPattern(None, parent, subdomains=True)
        _, dot, parent = parent.partition(".")


def parse_email_pattern(text: str) -> EmailPattern:
    """`*@studio.example.com`, `jo@studio.example.com`, or `*@*.example.com` for any subdomain."""
    local, at, host = text.partition("@")
    if not at:
        suggestion = f"*@{text.removeprefix('*')}" if "." in text else None
        everybody = "; whoever has an account is the rule everyone" if text == "*" else ""
        raise Refused(f"an email pattern has one '@' in it{everybody}", suggestion)
    if "@" in host or (local != "*" and not _LOCAL_PART.fullmatch(local)):
        suggestion = f"*@{host}" if not local and "@" not in host else None
        raise Refused("an email pattern is one mailbox or '*', one '@' and a domain", suggestion)
    subdomains = host.startswith("*.")
    name = host.removeprefix("*.")
    if "*" in name:
        raise Refused("a '*' in the domain stands only as a whole first part, as in *@*.example.com")
    if "." not in name:
        raise Refused("an email pattern names a domain with a dot in it, such as *@studio.example.com")
    return EmailPattern(None if local == "*" else local.lower(), parse_domain(name), subdomains)


def read_email_list(path: Path) -> EmailList:
    """The list in this file: a pattern a line; blank lines, and what follows a '#', say nothing.

    Raises Refused if the file cannot be read or any line is no pattern: half a list is no list. A file without a
    single byte is what a full disk leaves behind, so it is refused too; a list of nobody has a comment in it.
    """
    try:
        if is_pipe(path):
            raise Refused("this is a pipe, which gives its content once, and a file is wanted")
        written = content(path, _LARGEST_LIST + 1)
        text = written.decode("utf-8-sig")
    except OSError as error:
        raise Refused(f"the file cannot be read: {reason(error)}") from None
    except UnicodeDecodeError:
        raise Refused("the file is not UTF-8 text") from None
    if not written:
        raise Refused("the file is empty; a list of nobody has a line that begins with '#'")
    if len(written) > _LARGEST_LIST:
        raise Refused("the file is larger than 1MiB, so it is no list of addresses")
    return EmailList(frozenset(_patterns(text.split("\n"))))


def _patterns(lines: Iterable[str]) -> Iterator[EmailPattern]:
    for number, line in enumerate(lines, 1):
        written = _without_comment(line).strip()
        if written:
            try:
                yield parse_email_pattern(written)
            except Refused as refused:
                raise Refused(f"line {number} of the file: {refused.message}") from None


def _without_comment(line: str) -> str:
    """The line up to a '#' at its beginning or after a space: elsewhere it may be part of a mailbox."""
    return re.split(r"(?:^|\s)#", line, maxsplit=1)[0]
