"""Checks of this machine: the certificates, the addresses to listen on, the store and the audit stream."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import urlsplit

from oauth_proxy import control
from oauth_proxy.apart import apart
from oauth_proxy.certificates import Certificate, Unusable, read_certificate, require_key_of
from oauth_proxy.errors import AddressUnavailable, ConfigurationError
from oauth_proxy.online.audit import audit_found
from oauth_proxy.online.findings import Check, Finding, well, wrong
from oauth_proxy.online.store import store_found
from oauth_proxy.settings import Listen, Settings, Tls
from oauth_proxy.sockets import require_free

_PATIENCE = 5.0
"""Seconds in which a proxy that runs should say so."""
_SOON = timedelta(days=14)
"""A certificate should have been renewed when it has less than this, or than a tenth of its time, left."""


class LocalChecks:
    """The checks of what these settings name on this machine; `now` is the time, in UTC."""

    def __init__(self, settings: Settings, listeners: Mapping[str, Listen], now: datetime) -> None:
        self._settings = settings
        self._listeners = listeners
        self._now = now

    def all(self) -> Iterator[Check]:
        """The certificates if there are any, every listener, and store and audit stream if there are any."""
        if self._settings.tls:
            yield Check("certificates", self._certificates)
        yield Check("listeners", self._ports)
        if self._settings.session.store != "cookie":
            yield Check("store", partial(store_found, self._settings))
        if self._settings.log.audit is not None:
            yield Check("audit", partial(audit_found, self._settings.log.audit))

    async def _certificates(self) -> Sequence[Finding]:
        findings: list[Finding] = []
        host = (urlsplit(self._settings.public_url).hostname or "").lower()
        covering = []
        for each in self._settings.tls or ():
            try:
                certificate = read_certificate(each.cert)
                require_key_of(certificate, each.key)
            except Unusable as unusable:
                findings += wrong(
                    f"certificate {each.cert}", f"cannot be used: {unusable}.", "Correct the two files."
                )
                continue
            covering += [certificate] if certificate.covers(host) else []
            findings += self._time_left(each, certificate)
        if not covering:
            findings += wrong("certificate", f"none is for {host}: browsers refuse it.", f"Get one for {host}.")
        return findings

    def _time_left(self, tls: Tls, certificate: Certificate) -> list[Finding]:
        subject, days = f"certificate {tls.cert}", certificate.days_left(self._now)
        renew = "Renew it; the proxy reads the new files by itself, without a restart."
        if certificate.begins > self._now:
            return wrong(subject, f"is not valid before {certificate.begins:%-d %B %Y}.", "Is the clock right?")
        if days < 0:
            return wrong(subject, f"expired on {certificate.ends:%-d %B %Y}.", renew)
        left, whole = certificate.ends - self._now, certificate.ends - certificate.begins
        if left < min(_SOON, whole / 10):
            return wrong(subject, f"ends in {days} days, on {certificate.ends:%-d %B %Y}.", renew)
        names = ", ".join((*certificate.names, *certificate.addresses)[:3])
        return well(subject, f"goes with its key, is for {names}, and good for {days} days.")

    async def _ports(self) -> Sequence[Finding]:
        """Whether each address is free, or taken by the proxy that runs with this file."""
        findings: list[Finding] = []
        runs: bool | None = None
        for name, at in self._listeners.items():
            subject = f"listener {at} ({name})"
            try:
                await apart(partial(require_free, at))
            except AddressUnavailable as error:
                runs = await self._is_running() if runs is None else runs
                if runs:
                    findings += well(subject, "is taken by the proxy that runs with this file.")
                    continue
                advice = "Who has it? ss -ltnp, or ss -lxp, says so. (systemd, by a .socket unit, is no mistake.)"
                findings += wrong(subject, f"is not free: {error.problems[0]}.", advice)
            except ConfigurationError as error:
                advice = "A port below 1024 needs CAP_NET_BIND_SERVICE, a socket a folder that may be written to."
                findings += wrong(subject, f"cannot be used: {error.problems[0]}.", advice)
            else:
                findings += well(subject, "is free.")
        return findings

    async def _is_running(self) -> bool:
        try:
            async with asyncio.timeout(_PATIENCE):
                return await control.is_running(self._settings)
        except TimeoutError:
            return False
