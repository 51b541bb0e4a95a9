"""Checks of Frame.io: its hosts and their clock, the sign-in page for this app, the app's credentials, the API.

The law: nobody is signed in, and nothing is changed there. The only code that is sent is one that nobody issued.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterator, Sequence
from email.utils import parsedate_to_datetime
from functools import partial
from urllib.parse import parse_qs, urlsplit

import aiohttp

from oauth_proxy.errors import (
    CodeRefused,
    GrantEnded,
    NotAllowed,
    ProviderBusy,
    ProviderNonsense,
    ProviderRefusedUs,
    ProviderUnavailable,
)
from oauth_proxy.oauth import Attempt
from oauth_proxy.online.findings import Check, Finding, said, well, wrong
from oauth_proxy.provider import Api, Provider
from oauth_proxy.quotes import quoted
from oauth_proxy.settings import Frameio

MOST_SKEW = 60.0
"""Seconds by which our clock and Frame.io's may differ."""
PATIENCE = 8.0
"""Seconds for a host, and for the sign-in page; together with a call to Frame.io they are within the deadline."""
_DUMMY = "oauth-proxy-check"
"""In place of a code or a token that Frame.io issued."""
_OTHER = "Are frameio.{} and frameio.api right?"
_LATER = "Frame.io may be down: try again later, and look at its status page."


class FrameioChecks:
    """The checks of Frame.io as these settings know it; `wall` returns seconds since the epoch."""

    def __init__(
        self,
        app: Frameio,
        api: Api,
        provider: Provider,
        redirect_uri: str,
        wall: Callable[[], float],
    ) -> None:
        self._app = app
        self._api = api
        self._provider = provider
        self._redirect_uri = redirect_uri
        self._wall = wall
        self._reached = {origin: asyncio.Event() for origin in self._origins()}
        self._lost: set[str] = set()

    def all(self) -> Iterator[Check]:
        """A check for each host, and for what is asked of them."""
        for origin, keys in self._origins().items():
            yield Check(urlsplit(origin).netloc, partial(self._host, origin, keys))
        yield Check("sign-in page", self._authorize)
        yield Check("app's credentials", self._token)
        yield Check("API", self._profile)

    def _origins(self) -> dict[str, list[str]]:
        """The origins of Frame.io's addresses, and which addresses are there."""
        origins: dict[str, list[str]] = {}
        for key in ("authorize_url", "token_url", "api_url", "revoke_url"):
            if url := getattr(self._api, key):
                origins.setdefault(_origin(url), []).append(key)
        return origins

    async def _host(self, origin: str, keys: Sequence[str]) -> Sequence[Finding]:
        found: Sequence[Finding] = ()
        try:
            found = await self._ask_host(origin, keys)
        finally:
            if not found or not found[0].is_well:
                self._lost.add(origin)
            self._reached[origin].set()
        return found

    async def _is_lost(self, url: str) -> bool:
        """Whether the host of this address is not reached, so that its own line says all there is to say."""
        origin = _origin(url)
        await self._reached[origin].wait()
        return origin in self._lost

    async def _ask_host(self, origin: str, keys: Sequence[str]) -> Sequence[Finding]:
        """Whether a host is in DNS, is reached, has a certificate that is trusted, and agrees about the time."""
        host = urlsplit(origin).netloc
        place = (
            f"Is frameio.{keys[0]} right?" if getattr(self._app, keys[0], None) else "Its name is Frame.io's own."
        )
        began = self._wall()
        try:
            async with asyncio.timeout(PATIENCE), self._provider.opened(f"{origin}/", "*/*") as response:
                between = (began + self._wall()) / 2
                date = response.headers.get("Date", "")
        except (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError) as error:
            advice = "Are HTTPS_PROXY, its user and password right? NO_PROXY names hosts to ask without it."
            return wrong(host, f"is not reached through the proxy of HTTPS_PROXY: {_cause(error)}.", advice)
        except aiohttp.ClientConnectorDNSError as error:
            return wrong(
                host, f"is not found in DNS: {said(error.os_error)}.", f"{place} Does this machine have DNS?"
            )
        except aiohttp.ClientConnectorCertificateError as error:
            advice = "Who inspects TLS on the way? Name its authority in frameio.ca_file."
            return wrong(host, f"has a certificate that is not trusted: {said(error.certificate_error)}.", advice)
        except aiohttp.ClientConnectorSSLError as error:
            return wrong(host, f"speaks no TLS with us: {said(error.os_error)}.", place)
        except (aiohttp.ClientError, OSError) as error:
            cause = said(getattr(error, "os_error", error))
            return wrong(host, f"is not reached: {cause}.", f"{place} Does a firewall let this machine out?")
        tls = "and its certificate is trusted" if origin.startswith("https") else "without TLS"
        return [*well(host, f"answers, {tls}."), *self._clock(host, date, between)]

    def _clock(self, host: str, date: str, now: float) -> list[Finding]:
        try:
            ahead = now - parsedate_to_datetime(date).timestamp()
        except ValueError:
            return []
        if abs(ahead) <= MOST_SKEW:
            return well("clock", f"agrees with that of {host}.")
        how = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} that of {host}."
        return wrong("clock", how, "Let a time service set this machine's clock (chrony, systemd-timesyncd).")

    async def _authorize(self) -> Sequence[Finding]:
        """What the server makes of client_id and redirect_uri, as far as it says so before anybody signs in."""
        subject = "sign-in page"
        if await self._is_lost(self._api.authorize_url):
            return ()
        attempt = Attempt.start(secrets.token_urlsafe(16), self._wall())
        url = self._provider.authorize_url(secrets.token_urlsafe(32), attempt)
        register = f"Is client_id right, and {self._redirect_uri} registered with it, character for character?"
        try:
            async with asyncio.timeout(PATIENCE), self._provider.opened(url, "text/html") as response:
                status, location = response.status, response.headers.get("Location", "")
        except (aiohttp.ClientError, OSError) as error:
            return wrong(subject, f"does not answer: {said(getattr(error, 'os_error', error))}.", _LATER)
        if status >= 500 or status == 429:
            return wrong(subject, f"answers {status}.", _LATER)
        refusal = _error_in(location)
        if refusal or status >= 400:
            means = f"refuses this app: {refusal or status}."
            return wrong(subject, means, register + " And are frameio.scopes those of the app?")
        if self._api.name == "v4":
            return well(
                subject,
                "answers for this client_id. Adobe does not say here whether the redirect URI is registered: if "
                f"people land elsewhere after they have signed in, {self._redirect_uri} is not.",
            )
        return well(subject, f"answers for this client_id and {self._redirect_uri}.")

    async def _token(self) -> Sequence[Finding]:
        """Whether the token endpoint takes our credentials: then it refuses a made-up code, and not us."""
        subject = "app's credentials"
        if await self._is_lost(self._api.token_url):
            return ()
        secret = "client_secret" if self._app.client_secret else "the missing client_secret (is it no PKCE app?)"
        try:
            await self._provider.exchange(_DUMMY, Attempt.start(_DUMMY, self._wall()))
        except CodeRefused:
            return well(subject, "are accepted: the token endpoint refuses only the code, which was made up.")
        except ProviderRefusedUs as error:
            advice = f"client_id or {secret} is wrong; where the sign-in page knows the app, it is the latter."
            return wrong(subject, f"are refused: {error.cause}.", advice)
        except ProviderNonsense as error:
            return wrong(subject, f"got an odd answer: {error.cause}.", _OTHER.format("token_url"))
        except ProviderUnavailable as error:
            return wrong(subject, f"cannot be tried: {error.cause}.", _LATER)
        return wrong(subject, "granted tokens for a code that was made up.", "Is frameio.token_url Frame.io's?")

    async def _profile(self) -> Sequence[Finding]:
        """Whether the API is where we ask for profiles: then it wants a better token."""
        subject = "API"
        if await self._is_lost(self._api.api_url):
            return ()
        try:
            await self._provider.profile(_DUMMY, owner=_DUMMY)
        except (GrantEnded, NotAllowed):
            return well(subject, f"answers at {self._api.api_url}: it refuses only the token, which was made up.")
        except ProviderBusy:
            return well(subject, f"answers at {self._api.api_url}, and asks for patience just now.")
        except ProviderNonsense as error:
            return wrong(subject, f"got an odd answer: {error.cause}.", _OTHER.format("api_url"))
        except ProviderUnavailable as error:
            return wrong(subject, f"is not reached: {error.cause}.", _LATER)
        return wrong(subject, "knows a token that was made up.", "Is frameio.api_url Frame.io's?")


def _cause(error: aiohttp.ClientError) -> str:
    status = getattr(error, "status", None)
    return f"it answers {status}" if status else said(getattr(error, "os_error", error))


def _origin(url: str) -> str:
    scheme, host, *_ = urlsplit(url)
    return f"{scheme}://{host}"


def _error_in(location: str) -> str | None:
    """The error that a redirect carries (RFC 6749 4.1.2.1), quoted; None if there is none."""
    parts = urlsplit(location)
    for fields in (parse_qs(parts.query), parse_qs(parts.fragment)):
        if "error" in fields:
            told = [*fields["error"], *fields.get("error_description", ()), *fields.get("error_hint", ())]
            return " ".join(quoted(each, longest=200) for each in told[:3])
    return None
