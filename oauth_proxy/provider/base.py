"""What the proxy asks of Frame.io: sign somebody in, redeem, refresh, describe, revoke.

The law: every call has a deadline and a bound, follows no redirect, keeps no cookie, and ends in a value or in a
failure from `errors`; a network failure is never mistaken for a refusal.
"""

import asyncio
import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import quote_plus

import aiohttp

from oauth_proxy import oauth
from oauth_proxy.errors import GrantEnded, NotAllowed, ProviderNonsense, ProviderUnavailable, ProxyError
from oauth_proxy.identity import Identity, Tokens

Answer = TypeVar("Answer")

LONGEST_ANSWER = 256 * 1024
DEADLINE = 10.0
"""Seconds for one call, connecting included."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The accounts and teams whose members the configuration lets in, by id; nothing else is asked about."""

    accounts: frozenset[str] = frozenset()
    teams: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Question:
    """One call about somebody's standing: a path of the API, and how to read the answer (see Identity.standing).

    `read` raises KeyError, TypeError or ValueError for an answer that is not one.
    """

    path: str
    read: Callable[[Mapping[str, object]], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Api:
    """What tells v2 from v4: addresses, scopes, and the shape of a profile."""

    name: str
    authorize_url: str
    token_url: str
    api_url: str
    revoke_url: str | None
    profile_path: str
    read_profile: Callable[[Mapping[str, object]], Identity]
    """Raises KeyError, TypeError or ValueError for anything that is not a profile."""
    questions: Callable[[Asked], Sequence[Question]]


_NOTHING = Asked()


class Provider:
    """Frame.io, spoken to as one registered app.

    `clock` tells seconds since the epoch; `count` is told each call and its result.
    """

    def __init__(
        self,
        api: Api,
        client: oauth.Client,
        http: aiohttp.ClientSession,
        clock: Callable[[], float],
        asked: Asked = _NOTHING,
        count: Callable[[str, str], None] = lambda call, result: None,
    ) -> None:
        self._api = api
        self._count = count
        self._questions = api.questions(asked)
        self._client = client
        self._http = http
        self._clock = clock

    def authorize_url(self, state: str, attempt: oauth.Attempt, *, switch: bool = False) -> str:
        """Where the visitor signs in and consents; `switch` asks Frame.io not to assume it is the same person.

        `prompt=login` is OpenID Connect's (Core 3.1.2.1); a server that does not know it ignores it.
        """
        extra = {"prompt": "login"} if switch else {}
        return oauth.authorization_url(self._api.authorize_url, self._client, state, attempt, extra)

    async def exchange(self, code: str, attempt: oauth.Attempt) -> Tokens:
        """The tokens for an authorization code. Raises what `oauth.granted_tokens` raises."""
        form = oauth.code_request(self._client, code, attempt.verifier)
        with self._counted("exchange"):
            now = self._clock()
            status, body = await self._call("POST", self._api.token_url, self._credentials(), form)
            return oauth.granted_tokens(status, body, now=now, sent=(code, attempt.verifier))

    async def refresh(self, tokens: Tokens) -> Tokens:
        """The successors of `tokens`. Raises GrantEnded when there can be none."""
        if tokens.refresh is None:
            raise GrantEnded("the provider granted no refresh token")
        form = oauth.refresh_request(self._client, tokens.refresh, tokens.scope)
        with self._counted("refresh"):
            now = self._clock()
            status, body = await self._call("POST", self._api.token_url, self._credentials(), form)
            return oauth.granted_tokens(status, body, now=now, previous=tokens, sent=(tokens.refresh,))

    async def profile(self, access_token: str) -> Identity:
        """Who the bearer is, and their standing where the configuration asks for it.

        Raises GrantEnded when the token is not good, NotAllowed when it may not read the profile.
        """
        with self._counted("profile"):
            return await self._profile(access_token)

    async def _profile(self, access_token: str) -> Identity:
        status, body = await self._ask(self._api.profile_path, access_token)
        if status == 403:
            raise NotAllowed("the profile endpoint answered 403: the account or the scope does not suffice")
        identity = _read(self._api.profile_path, status, body, self._api.read_profile)
        standing: list[str] = []
        for question in self._questions:
            status, body = await self._ask(question.path, access_token)
            if status not in (403, 404):  # those say: no member
                standing.extend(_read(question.path, status, body, question.read))
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
            status, _ = await self._call("POST", self._api.revoke_url, self._credentials(), form)
            if status != 200:
                raise ProviderNonsense(f"the revocation endpoint answered {status}")

    @contextmanager
    def _counted(self, call: str) -> Iterator[None]:
        try:
            yield
        except ProxyError as error:
            self._count(call, error.name)
            raise
        self._count(call, "ok")

    async def _ask(self, path: str, access_token: str) -> tuple[int, bytes]:
        """One answer of the API. Raises GrantEnded for 401 and ProviderUnavailable for 429 and 5xx."""
        headers = {"Authorization": f"Bearer {access_token}"}
        status, body = await self._call("GET", self._api.api_url + path, headers)
        if status == 401:
            raise GrantEnded(f"{path} answered 401")
        if status == 429 or status >= 500:
            raise ProviderUnavailable(f"{path} answered {status}")
        return status, body

    def _credentials(self) -> dict[str, str]:
        """A secret app's Basic credentials (RFC 6749 2.3.1); a PKCE app sends none."""
        secret = self._client.client_secret
        if secret is None:
            return {}
        pair = f"{quote_plus(self._client.client_id)}:{quote_plus(secret)}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode("ascii")}

    async def _call(
        self, method: str, url: str, headers: Mapping[str, str], form: str | None = None
    ) -> tuple[int, bytes]:
        """Status and body of one answer. Raises ProviderUnavailable, or ProviderNonsense for an endless one."""
        sent = {"Accept": "application/json", "Accept-Encoding": "identity", **headers}
        if form is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            async with (
                asyncio.timeout(DEADLINE),
                self._http.request(method, url, headers=sent, data=form, allow_redirects=False) as answer,
            ):
                body = await answer.content.read(LONGEST_ANSWER + 1)
                while len(body) <= LONGEST_ANSWER and (more := await answer.content.readany()):
                    body += more
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ProviderUnavailable(f"{method} {url}: {_cause(error)}") from None
        if len(body) > LONGEST_ANSWER:
            raise ProviderNonsense(f"{method} {url}: the answer is longer than {LONGEST_ANSWER} bytes")
        return status, body


def _read(path: str, status: int, body: bytes, read: Callable[[Mapping[str, object]], Answer]) -> Answer:
    if status != 200:
        raise ProviderNonsense(f"{path} answered {status}")
    try:
        return read(json.loads(body))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ProviderNonsense(f"the answer of {path} is not what was asked for") from None


def _cause(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}" if str(error) else type(error).__name__


def text(value: object) -> str | None:
    """An optional field of a profile: a string of bearable length, or nothing."""
    return value if isinstance(value, str) and 0 < len(value) <= 320 else None


def required(value: object) -> str:
    """A field no profile can do without. Raises ValueError where it is missing."""
    found = text(value)
    if found is None:
        raise ValueError("the profile has no id")
    return found
