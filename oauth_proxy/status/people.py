"""Who is signed in, and what was refused or failed last, as rows of tables."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from oauth_proxy.identity import Seen
from oauth_proxy.recent import Row
from oauth_proxy.status.words import ago, stamp
from oauth_proxy.telemetry import printable


@dataclass(frozen=True, slots=True)
class Moment:
    """When something was: for programs and whoever hovers, and as one says it."""

    stamp: str
    ago: str

    @classmethod
    def of(cls, moment: float, now: float) -> "Moment":
        """This moment, as seen from now; both in seconds since the epoch."""
        return cls(stamp(moment), ago(now - moment))


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with all sessions of theirs; `end` is where to end them."""

    id: str
    email: str
    since: Moment
    last_seen: Moment
    sessions: int
    connections: int
    end: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """A refusal or failure, or several alike; `who` is an id, an email address or a client's address."""

    at: Moment
    count: int
    status: int
    cause: str
    by: str
    method: str
    path: str
    who: str
    request_id: str


@dataclass(frozen=True, slots=True)
class People:
    """The first rows, with the person seen last at the top; `more` is the number of the others.

    With `is_whole` false there may be others whom only the store knows, which does not answer.
    """

    rows: list[Person]
    more: int = 0
    is_whole: bool = True


def people(seen: Iterable[Seen], now: float, most: int, *, is_whole: bool) -> People:
    """One row for each person, as many as `most`."""
    found: dict[str, list[Seen]] = {}
    for each in seen:
        found.setdefault(each.id, []).append(each)
    newest = sorted(found.items(), key=lambda item: max(each.last_seen for each in item[1]), reverse=True)
    rows = [_person(each, sessions, now) for each, sessions in newest[:most]]
    return People(rows, max(0, len(newest) - most), is_whole)


def _person(name: str, sessions: list[Seen], now: float) -> Person:
    last = max(sessions, key=lambda each: each.last_seen)
    return Person(
        printable(name),
        printable(last.email or ""),
        Moment.of(min(each.since for each in sessions), now),
        Moment.of(last.last_seen, now),
        len(sessions),
        sum(each.connections for each in sessions),
        "/end?" + urlencode({"user": name}, errors="replace"),
    )


def troubles(rows: Iterable[Row], now: float) -> list[Trouble]:
    """The rows of `Recent`, the newest first."""
    return [
        Trouble(
            Moment.of(row["at"], now),
            row["count"],
            row["status"],
            printable(str(row.get("cause", ""))),
            row["by"],
            printable(str(row["method"])),
            printable(str(row["path"])),
            printable(str(row.get("email") or row.get("user") or row.get("client", ""))),
            row["request_id"],
        )
        for row in sorted(rows, key=lambda row: float(row["at"]), reverse=True)
    ]
