"""Reads the user of an access token from the API, and the user's memberships that the configuration uses.

The law: a token is sent to the API's own origin and paths only, whatever address a response names.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

from oauth_proxy.errors import GrantEnded, NotAllowed, ProviderNonsense
from oauth_proxy.identity import Identity
from oauth_proxy.provider.api import Api, Memberships, Question
from oauth_proxy.provider.breaker import Breaker
from oauth_proxy.provider.calls import Calls, ProviderResponse
from oauth_proxy.provider.shares import Shares
from oauth_proxy.quotes import quoted

Asker = Literal["login", "session", "program"]
"""For whom a profile is read. The breaker never refuses a login's call; programs have their own connections."""
MOST_PAGES = 10

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Bearer:
    """The token for the requests, and its owner; `held` is whether the breaker may refuse them."""

    token: str = field(repr=False)
    owner: str
    held: bool


class Profiles:
    """Reads users from the API. `elapsed` returns monotonic seconds."""

    def __init__(
        self,
        api: Api,
        asked: Memberships,
        calls: Calls,
        shares: Shares,
        elapsed: Callable[[], float],
    ) -> None:
        self._api = api
        self.ask_about(asked)
        self._calls = calls
        self._shares = shares
        self._breaker = Breaker(elapsed)

    def ask_about(self, asked: Memberships) -> None:
        """Read these memberships with each profile from now on."""
        self._questions = tuple(self._api.questions(asked))
        self._asked = asked.name

    @property
    def is_paused(self) -> bool:
        """Whether the API is away, so that only probes are sent, and the calls of logins."""
        return self._breaker.is_open

    async def read(self, access_token: str, owner: str, asker: Asker) -> Identity:
        """The token's user and their memberships. Raises what `Provider.profile` does."""
        bearer = _Bearer(access_token, owner, held=asker != "login")
        if bearer.held:
            self._breaker.check()
        async with (self._shares.programs if asker == "program" else self._shares.profiles).place():
            return await self._read(bearer)

    async def _read(self, bearer: _Bearer) -> Identity:
        path = self._api.profile_path
        response = await self._ask(path, bearer)
        if response.status == 403:
            raise NotAllowed(f"{path} answered 403: the account or the scope does not suffice")
        identity = _understood(path, response, self._api.read_profile, bearer)
        standing: list[str] = []
        for question in self._questions:
            standing += await self._standing(question, bearer)
        return replace(identity, standing=tuple(standing), asked=self._asked)

    async def _standing(self, question: Question, bearer: _Bearer) -> list[str]:
        """The memberships on all pages of a list. Pages after MOST_PAGES are ignored."""
        standing: list[str] = []
        paths = [question.path]
        for path in _following(paths):
            response = await self._ask(path, bearer)
            if response.status in (403, 404):  # the user is not a member
                break
            standing += _understood(path, response, question.read, bearer)
            if (address := _understood(path, response, question.next, bearer)) is not None:
                paths.append(self._page(question.path, address))
        return standing

    def _page(self, path: str, address: str) -> str:
        """The path with the cursor from the next page's address, which must have the same origin and path."""
        here = urlsplit(self._api.api_url + path)
        try:
            there = urlsplit(urljoin(here.geturl(), address))
            [cursor] = parse_qs(there.query)["after"]
        except (ValueError, KeyError):
            raise ProviderNonsense(f"the next page of {path} is at no address") from None
        if (there.scheme, there.netloc, there.path) != (here.scheme, here.netloc, here.path):
            raise ProviderNonsense(f"the next page of {path} is said to be somewhere else")
        return f"{path}&{urlencode({'after': cursor})}"

    async def _ask(self, path: str, bearer: _Bearer) -> ProviderResponse:
        """Send a request to the API. Raises GrantEnded for 401."""
        mark = self._api.mark.headers(bearer.token) if self._api.mark else {}
        headers = {"Authorization": f"Bearer {bearer.token}", **mark}
        with self._breaker.call(bearer.owner, held=bearer.held):
            response = await self._calls.get(self._api.api_url + path, headers)
        if response.status == 401:
            raise GrantEnded(f"{path} answered 401")
        return response


def _following(paths: list[str]) -> Iterator[str]:
    """The paths one by one, also those added meanwhile, at most MOST_PAGES. Raises for a repeated path."""
    for number, path in zip(range(MOST_PAGES), paths, strict=False):
        if path in paths[:number]:
            raise ProviderNonsense(f"the pages of {paths[0]} go round in circles")
        yield path


def _understood(
    path: str, response: ProviderResponse, read: Callable[[Mapping[str, object]], T], bearer: _Bearer
) -> T:
    if response.status != 200:
        shown = quoted(response.body.decode("utf-8", "replace"), [bearer.token])
        raise ProviderNonsense(f"{path} answered {response.status}: {shown}")
    try:
        return read(json.loads(response.body))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ProviderNonsense(f"the answer of {path} is not what was asked for") from None
