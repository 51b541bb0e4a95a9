"""What the proxy asks of Frame.io: sign somebody in, redeem, refresh, describe, revoke.

The law: failures have an owner. How one visitor's call ends says nothing of anybody else's; only that Frame.io is
away does, once several owners in a row found it so.
"""

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar
from urllib.parse import quote_plus

import aiohttp

from oauth_proxy import oauth
from oauth_proxy.errors import GrantEnded, NotAllowed, ProviderNonsense, ProxyError
from oauth_proxy.identity import Identity, Tokens
from oauth_proxy.provider.api import Api, Asked
from oauth_proxy.provider.breaker import Breaker
from oauth_proxy.provider.calls import Answer, Calls
from oauth_proxy.provider.shares import Shares
from oauth_proxy.provider.tokens import TokenEndpoint

Asker = Literal["login", "session", "program"]
"""For whom a profile is read: a login is never held back, and programs have connections of their own."""

_Read = TypeVar("_Read")
_NOTHING = Asked()


@dataclass(frozen=True, slots=True)
class _Bearer:
    """Whose token it is that asks."""

    token: str = field(repr=False)
    owner: str
    held: bool


class Provider:
    """Frame.io, spoken to as one registered app.

    `clock` tells seconds since the epoch, `elapsed` seconds that never go back; `count` is told each call and its
    result. An `owner` is whose failure it would be: a session's id, a program's client address.
    """

    def __init__(
        self,
        api: Api,
        client: oauth.Client,
        http: aiohttp.ClientSession,
        clock: Callable[[], float],
        asked: Asked = _NOTHING,
        count: Callable[[str, str], None] = lambda call, result: None,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._count = count
        self._questions = api.questions(asked)
        self._client = client
        self._clock = clock
        self._calls = Calls(http, clock)
        self._shares = Shares()
        self._tokens = TokenEndpoint(api.token_url, self._calls, self._shares, elapsed)
        self._breaker = Breaker(elapsed)

    def authorize_url(self, state: str, attempt: oauth.Attempt, *, switch: bool = False) -> str:
        """Where the visitor signs in and consents; `switch` asks Frame.io not to assume it is the same person.

        `prompt=login` is OpenID Connect's (Core 3.1.2.1); a server that does not know it ignores it.
        """
        extra = {"prompt": "login"} if switch else {}
        return oauth.authorization_url(self._api.authorize_url, self._client, state, attempt, extra)

    async def exchange(self, code: str, attempt: oauth.Attempt) -> Tokens:
        """The tokens for an authorization code. Raises ProviderUnavailable or as `oauth.granted_tokens`."""
        form = oauth.code_request(self._client, code, attempt.verifier)
        with self._counted("exchange"):
            now = self._clock()
            answer = await self._tokens.exchange(self._credentials(), form)
            return oauth.granted_tokens(answer.status, answer.body, now=now, sent=(code, attempt.verifier))

    async def refresh(self, tokens: Tokens, *, owner: str) -> Tokens:
        """The successors of `tokens`.

        Raises GrantEnded when there can be none, ProviderAway, ProviderPaused, ProviderBusy, or another
        ProviderUnavailable that concerns the owner alone.
        """
        if tokens.refresh is None:
            raise GrantEnded("the provider granted no refresh token")
        form = oauth.refresh_request(self._client, tokens.refresh, tokens.scope)
        with self._counted("refresh"):
            now = self._clock()
            answer = await self._tokens.refresh(self._credentials(), form, owner)
            return oauth.granted_tokens(
                answer.status, answer.body, now=now, previous=tokens, sent=(tokens.refresh,)
            )

    async def profile(self, access_token: str, *, owner: str, asker: Asker = "session") -> Identity:
        """Who the bearer is, and their standing where the configuration asks for it.

        Raises GrantEnded when the token is not good, NotAllowed when it may not read the profile, and
        ProviderUnavailable as `refresh` does.
        """
        held = asker != "login"
        with self._counted("profile"):
            if held:
                self._breaker.check()
            async with (self._shares.programs if asker == "program" else self._shares.profiles).turn():
                return await self._profile(_Bearer(access_token, owner, held=held))

    async def _profile(self, bearer: _Bearer) -> Identity:
        answer = await self._ask(self._api.profile_path, bearer)
        if answer.status == 403:
            raise NotAllowed("the profile endpoint answered 403: the account or the scope does not suffice")
        identity = _read(self._api.profile_path, answer, self._api.read_profile)
        standing: list[str] = []
        for question in self._questions:
            answer = await self._ask(question.path, bearer)
            if answer.status not in (403, 404):  # those say: no member
                standing.extend(_read(question.path, answer, question.read))
        return replace(identity, standing=tuple(standing))

    async def revoke(self, tokens: Tokens) -> None:
        """End the grant at the provider (RFC 7009), where it has an address for that."""
        if self._api.revoke_url is None:
            return
        token = tokens.refresh or tokens.access
        form = f"token={quote_plus(token)}"
        if self._client.client_secret is None:
            form += f"&client_id={quote_plus(self._client.client_id)}"
        with self._counted("revoke"):
            async with self._shares.revocations.turn():
                answer = await self._calls.post(self._api.revoke_url, self._credentials(), form)
            if answer.status != 200:
                raise ProviderNonsense(f"the revocation endpoint answered {answer.status}")

    @contextmanager
    def _counted(self, call: str) -> Iterator[None]:
        try:
            yield
        except ProxyError as error:
            self._count(call, error.name)
            raise
        self._count(call, "ok")

    async def _ask(self, path: str, bearer: _Bearer) -> Answer:
        """One answer of the API. Raises GrantEnded for 401."""
        headers = {"Authorization": f"Bearer {bearer.token}"}
        with self._breaker.call(bearer.owner, held=bearer.held):
            answer = await self._calls.get(self._api.api_url + path, headers)
        if answer.status == 401:
            raise GrantEnded(f"{path} answered 401")
        return answer

    def _credentials(self) -> dict[str, str]:
        """A secret app's Basic credentials (RFC 6749 2.3.1); a PKCE app sends none."""
        secret = self._client.client_secret
        if secret is None:
            return {}
        pair = f"{quote_plus(self._client.client_id)}:{quote_plus(secret)}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode("ascii")}


def _read(path: str, answer: Answer, read: Callable[[Mapping[str, object]], _Read]) -> _Read:
    if answer.status != 200:
        raise ProviderNonsense(f"{path} answered {answer.status}")
    try:
        return read(json.loads(answer.body))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ProviderNonsense(f"the answer of {path} is not what was asked for") from None
