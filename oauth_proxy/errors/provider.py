"""Frame.io cannot be reached, is busy, or does not behave as documented."""

from oauth_proxy.errors.base import ProxyError


class ProviderUnavailable(ProxyError):
    """The provider could not be asked or did not respond; nothing is known about the visitor."""

    status = 503
    title = "Frame.io cannot be reached"
    sentence = "Frame.io is not answering at the moment. Nothing is lost; please try again shortly."
    retry_after = 10


class ProviderAway(ProviderUnavailable):
    """No connection, no response in time, or a 5xx: evidence that the provider is down for everybody."""


class ProviderPaused(ProviderAway):
    """The provider was not asked, because calls of several owners failed; only probes are sent."""


class ProviderBusy(ProviderUnavailable):
    """The provider asks us to wait (429, RFC 6585 4) for `retry_after` seconds."""

    title = "Frame.io asks for patience"
    sentence = "Frame.io takes no more requests at the moment. Nothing is lost; please try again shortly."


class ProviderNonsense(ProviderUnavailable):
    """The provider's response differs from its documentation."""

    status = 502
    title = "Frame.io gave an unexpected answer"
    sentence = "Frame.io answered in a way this site does not understand. Please try again shortly."


class ProviderRefusedUs(ProviderNonsense):
    """The provider refuses this proxy's own credentials or request, so a setting is wrong."""

    title = "This site is not set up correctly"
    sentence = "Frame.io does not accept this site's own credentials. Please tell the people who run it."
