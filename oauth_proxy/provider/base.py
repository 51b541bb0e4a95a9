"""What the proxy asks of Frame.io: sign somebody in, redeem, refresh, describe, revoke.

The law: failures have an owner. How one visitor's call ends says nothing of anybody else's; only that Frame.io is
away does, once several owners in a row found it so.
"""

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote_plus, urlencode

import aiohttp

from oauth_proxy import oauth
from oauth_proxy.errors import GrantEnded, ProviderNonsense, ProviderUnavailable, ProxyError
from oauth_proxy.identity import Identity, Tokens
from oauth_proxy.provider.api import Api, Memberships
from oauth_proxy.provider.calls import Calls
from oauth_proxy.provider.profiles import Asker, Profiles
from oauth_proxy.provider.shares import Shares
from oauth_proxy.provider.tokens import TokenEndpoint
from oauth_proxy.quotes import quoted

_NOTHING = Memberships()


class Provider:
    """Frame.io, spoken to as one registered app.

    `clock` tells seconds since the epoch, `elapsed` seconds that never go back, `wall` what the system's clock
    says, with which Frame.io's dates are compared; `count` is told each call and its result. An `owner` is whose
    failure it would be: a session's id, a program's token.
    """

    def __init__(
        self,
        api: Api,
        client: oauth.Client,
        http: aiohttp.ClientSession,
        clock: Callable[[], float],
        asked: Memberships = _NOTHING,
        count: Callable[[str, str], None] = lambda call, result: None,
        elapsed: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] | None = None,
    ) -> None:
        self._api = api
        self._count = count
        self._client = client
        self._clock = clock
        self._calls = Calls(http, wall or clock)
        self._shares = Shares()
        self._tokens = TokenEndpoint(api.token_url, self._calls, self._shares, elapsed)
        self._profiles = Profiles(api, api.questions(asked), self._calls, self._shares, elapsed)

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
            return oauth.granted_tokens(
                answer.status,
                answer.body,
                now=now,
                lifetime=self._api.lifetime,
                sent=self._secrets(code, attempt.verifier),
            )

    async def refresh(self, tokens: Tokens, *, owner: str) -> Tokens:
        """The successors of `tokens`.

        Raises GrantEnded when there can be none, ProviderAway, ProviderPaused, ProviderBusy, or another
        ProviderUnavailable that concerns the owner alone.
        """
        if tokens.refresh is None:
            raise GrantEnded("the provider granted no refresh token")
        # What was granted may be less than what was asked for at first, and a refresh cannot ask for more.
        scope = (tokens.scope or " ".join(self._client.scopes)) if self._api.repeats_scope else ""
        form = oauth.refresh_request(self._client, tokens.refresh, scope)
        with self._counted("refresh"):
            now = self._clock()
            answer = await self._tokens.refresh(self._credentials(), form, owner)
            return oauth.granted_tokens(
                answer.status,
                answer.body,
                now=now,
                lifetime=self._api.lifetime,
                previous=tokens,
                sent=self._secrets(tokens.refresh, tokens.access),
            )

    async def profile(self, access_token: str, *, owner: str, asker: Asker = "session") -> Identity:
        """Who the bearer is, and their standing where the configuration asks for it.

        Raises GrantEnded when the token is not good, NotAllowed when it may not read the profile, and
        ProviderUnavailable as `refresh` does.
        """
        with self._counted("profile"):
            return await self._profiles.read(access_token, owner, asker)

    async def revoke(self, tokens: Tokens) -> None:
        """End both tokens at the provider (RFC 7009), where it has an address for that.

        The access token goes first, as in Frame.io's own SDK: the other's end takes effect at once. Neither is
        documented to end the other. Raises ProviderUnavailable, once both were tried, whose cause names each
        failure.
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
            async with self._shares.revocations.turn():
                answer = await self._calls.post(url, self._credentials(), urlencode(fields))
            if answer.status != 200:
                shown = quoted(answer.body.decode("utf-8", "replace"), self._secrets(token))
                raise ProviderNonsense(f"the revocation endpoint answered {answer.status}: {shown}")

    @contextmanager
    def _counted(self, call: str) -> Iterator[None]:
        try:
            yield
        except ProxyError as error:
            self._count(call, error.name)
            raise
        self._count(call, "ok")

    def _credentials(self) -> dict[str, str]:
        """A secret app's Basic credentials (RFC 6749 2.3.1); a PKCE app sends none."""
        secret = self._client.client_secret
        if secret is None:
            return {}
        pair = f"{quote_plus(self._client.client_id)}:{quote_plus(secret)}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode("ascii")}

    def _secrets(self, *sent: str) -> list[str]:
        """What no quote of an answer may repeat: the secrets of the call, and those it authenticates by."""
        basic = [each.removeprefix("Basic ") for each in self._credentials().values()]
        return [*sent, *basic, *filter(None, [self._client.client_secret])]
