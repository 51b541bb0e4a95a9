"""The proxy's calls to Frame.io: authorize, redeem a code, refresh tokens, read a profile, revoke tokens.

The law: failures have an owner. A failed call of one visitor does not affect other visitors' calls. Only when
several owners in a row cannot reach Frame.io, calls are paused for all.
"""

import asyncio
import base64
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from urllib.parse import quote_plus, urlencode

import aiohttp

from oauth_proxy import oauth
from oauth_proxy.errors import GrantEnded, NotAllowed, ProviderNonsense, ProviderUnavailable, ProxyError
from oauth_proxy.identity import Identity, Tokens
from oauth_proxy.provider.api import Api, Memberships
from oauth_proxy.provider.calls import Calls
from oauth_proxy.provider.profiles import Asker, Profiles
from oauth_proxy.provider.shares import Shares
from oauth_proxy.provider.tokens import TokenEndpoint
from oauth_proxy.quotes import quoted
from oauth_proxy.settings import Proxies

_NOTHING = Memberships()
_NO_PROXIES = Proxies()


class Provider:
    """Calls Frame.io as one registered app (OAuth client).

    `clock` returns seconds since the epoch, `elapsed` monotonic seconds, and `wall` the system clock's time, which
    is compared with Frame.io's dates. `count` is called with each call's name, its result, and the seconds that it
    took. An `owner` is charged with a failure: a session's id, a program's token.
    """

    def __init__(
        self,
        api: Api,
        client: oauth.Client,
        http: aiohttp.ClientSession,
        clock: Callable[[], float],
        asked: Memberships = _NOTHING,
        count: Callable[[str, str, float], None] = lambda call, result, seconds: None,
        elapsed: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] | None = None,
        proxies: Proxies = _NO_PROXIES,
    ) -> None:
        self._api = api
        self._count = count
        self._client = client
        self._clock = clock
        self._elapsed = elapsed
        self._calls = Calls(http, wall or clock, proxies)
        self._shares = Shares()
        self._tokens = TokenEndpoint(api.token_url, self._calls, self._shares, elapsed)
        self._profiles = Profiles(api, asked, self._calls, self._shares, elapsed)

    def ask_about(self, asked: Memberships) -> str:
        """Read these memberships with each profile from now on; return the name of their set."""
        self._profiles.ask_about(asked)
        return asked.name

    def authorize_url(self, state: str, attempt: oauth.Attempt, *, switch: bool = False) -> str:
        """The URL where the visitor signs in and consents; with `switch`, Frame.io asks for the credentials again.

        `prompt=login` is from OpenID Connect (Core 3.1.2.1); a server that does not know it ignores it.
        """
        extra = {"prompt": "login"} if switch else {}
        return oauth.authorization_url(self._api.authorize_url, self._client, state, attempt, extra)

    def opened(self, url: str, accept: str) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """The response to a GET of one of Frame.io's addresses as it begins, for a check. See `Calls.opened`."""
        return self._calls.opened("GET", url, {"Accept": accept})

    async def exchange(self, code: str, attempt: oauth.Attempt) -> Tokens:
        """The tokens for an authorization code. Raises ProviderUnavailable or as `oauth.granted_tokens`."""
        form = oauth.code_request(self._client, code, attempt.verifier)
        with self._counted("exchange"):
            now = self._clock()
            response = await self._tokens.exchange(self._credentials(), form)
            return oauth.granted_tokens(
                response.status,
                response.body,
                now=now,
                lifetime=self._api.lifetime,
                sent=self._secrets(code, attempt.verifier),
            )

    async def refresh(self, tokens: Tokens, *, owner: str) -> Tokens:
        """New tokens for the refresh token in `tokens`.

        Raises GrantEnded when the grant has ended, ProviderAway, ProviderPaused, ProviderBusy, or another
        ProviderUnavailable that concerns the owner alone.
        """
        if tokens.refresh is None:
            raise GrantEnded("the provider granted no refresh token")
        # The granted scope may be smaller than the requested one, and a refresh must not ask for more.
        scope = (tokens.scope or " ".join(self._client.scopes)) if self._api.repeats_scope else ""
        form = oauth.refresh_request(self._client, tokens.refresh, scope)
        with self._counted("refresh"):
            now = self._clock()
            response = await self._tokens.refresh(self._credentials(), form, owner)
            return oauth.granted_tokens(
                response.status,
                response.body,
                now=now,
                lifetime=self._api.lifetime,
                previous=tokens,
                sent=self._secrets(tokens.refresh, tokens.access),
            )

    async def profile(self, access_token: str, *, owner: str, asker: Asker = "session") -> Identity:
        """The token's user, with the memberships that the configuration uses.

        Raises GrantEnded when the token is not valid, NotAllowed when it may not read the profile, and
        ProviderUnavailable as `refresh` does.
        """
        with self._counted("profile", by_program=asker == "program"):
            return await self._profiles.read(access_token, owner, asker)

    async def revoke(self, tokens: Tokens) -> None:
        """Revoke both tokens at the provider (RFC 7009), if it has a revocation endpoint.

        The access token goes first, as in Frame.io's own SDK. The documentation does not say that revoking one
        also revokes the other. Raises ProviderUnavailable after both were tried; its cause names each failure.
        """
        failures = []
        for kind, token in (("access_token", tokens.access), ("refresh_token", tokens.refresh)):
            try:
                if token is not None and self._api.revoke_url is not None:
                    await self._revoke(self._api.revoke_url, kind, token)
            except ProviderUnavailable as error:
                failures.append(f"{kind} ({error.name}): {error.cause}")
        if failures:
            raise ProviderUnavailable("; ".join(failures))

    async def _revoke(self, url: str, kind: str, token: str) -> None:
        fields = {"token": token, "token_type_hint": kind}
        if self._client.client_secret is None:
            fields["client_id"] = self._client.client_id
        with self._counted("revoke"):
            async with self._shares.revocations.place():
                response = await self._calls.post(url, self._credentials(), urlencode(fields))
            if response.status != 200:
                shown = quoted(response.body.decode("utf-8", "replace"), self._secrets(token))
                raise ProviderNonsense(f"the revocation endpoint answered {response.status}: {shown}")

    @property
    def is_up(self) -> dict[str, bool]:
        """Whether calls are made: to the token endpoint, and for profiles. If not, only probes are."""
        return {"token": not self._tokens.is_paused, "profile": not self._profiles.is_paused}

    @contextmanager
    def _counted(self, call: str, *, by_program: bool = False) -> Iterator[None]:
        """Count the call. A program's token that is refused is wrong: it says nothing of anybody's grant."""
        result, began = "fault", self._elapsed()
        try:
            yield
            result = "ok"
        except ProxyError as error:
            is_wrong = by_program and isinstance(error, GrantEnded | NotAllowed)
            result = "token_refused" if is_wrong else error.name
            raise
        except asyncio.CancelledError:
            result = "cancelled"
            raise
        finally:
            self._count(call, result, self._elapsed() - began)

    def _credentials(self) -> dict[str, str]:
        """Basic credentials of a confidential client (RFC 6749 2.3.1); a public client (PKCE) sends none."""
        secret = self._client.client_secret
        if secret is None:
            return {}
        pair = f"{quote_plus(self._client.client_id)}:{quote_plus(secret)}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode("ascii")}

    def _secrets(self, *sent: str) -> list[str]:
        """What a quoted response must not contain: the secrets that the request sent, and our credentials."""
        basic = [each.removeprefix("Basic ") for each in self._credentials().values()]
        return [*sent, *basic, *filter(None, [self._client.client_secret])]
