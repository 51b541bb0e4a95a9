"""Who the emulated Frame.io knows: registered apps, people with their account and teams, and the demo's cast."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

Api = Literal["v2", "v4"]

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class App:
    """An app as registered at Frame.io. Without a client_secret it is a PKCE app.

    The first redirect URI is the default one. Apps of one API are unknown to the other. Raises ValueError for
    a redirect URI that Frame.io would not register: plain http is for this machine only.
    """

    client_id: str
    client_secret: str | None = field(repr=False)
    redirect_uris: tuple[str, ...]
    api: Api = "v2"
    name: str = "Studio review"

    def __post_init__(self) -> None:
        for uri in self.redirect_uris:
            parts = urlsplit(uri)
            secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
            if not secure or parts.fragment:
                raise ValueError(f"redirect URI {uri!r}: https, or http on localhost, and no fragment")

    @property
    def default_redirect_uri(self) -> str:
        """Where v4 sends a visitor whose redirect_uri is not registered."""
        return self.redirect_uris[0]


@dataclass(frozen=True)
class Person:
    """A Frame.io user: their account, standing in it (v2's words), and teams as {team id: role}."""

    id: str
    email: str
    name: str
    account_id: str
    account_role: Literal["owner", "admin", "account_manager", "billing_manager"] | None = None
    team_role: Literal["team_manager", "member"] | None = None
    reviewer: bool = False
    teams: Mapping[str, str] = field(default_factory=dict)
    accounts: Mapping[str, str] = field(default_factory=dict)  # further ones, in v4's words: {account id: role}


STUDIO_ACCOUNT = "5f2b1c7e-8d34-4a6f-9b01-2c3d4e5f6071"
ELSEWHERE_ACCOUNT = "a9c4e2d1-7b60-4f35-8e12-6d5c4b3a2910"
EDIT_TEAM = "0d9e8f7a-6b5c-4d3e-8f21-a0b1c2d3e4f5"

EDITOR = Person(
    id="3b7c1a52-94de-4f08-a6b3-c1d2e3f40516",
    email="editor@studio.example.com",
    name="Editor",
    account_id=STUDIO_ACCOUNT,
    account_role="admin",
    team_role="team_manager",
    teams={EDIT_TEAM: "team_manager"},
)
REVIEWER = Person(
    id="8e4d2f61-05ab-4c97-b7d8-f1e2d3c4b5a6",
    email="reviewer@studio.example.com",
    name="Reviewer",
    account_id=STUDIO_ACCOUNT,
    team_role="member",
    teams={EDIT_TEAM: "member"},
)
GUEST = Person(
    id="c6a59b70-1f2e-4d83-90a4-b5c6d7e8f901",
    email="guest@elsewhere.example.org",
    name="Guest",
    account_id=ELSEWHERE_ACCOUNT,
    reviewer=True,
)
CAST = (EDITOR, REVIEWER, GUEST)


class Directory:
    """The registered apps by (api, client_id) and the people by id; both may change while the server runs."""

    def __init__(self, apps: Iterable[App], people: Iterable[Person]) -> None:
        self.apps = {(app.api, app.client_id): app for app in apps}
        self.people = {person.id: person for person in people}

    def app(self, api: Api, client_id: str | None) -> App | None:
        """The app of that API registered under client_id, or None."""
        return None if client_id is None else self.apps.get((api, client_id))

    def person(self, person_id: str | None) -> Person | None:
        """The person with that id, or None if there is, or is no longer, such a person."""
        return None if person_id is None else self.people.get(person_id)
