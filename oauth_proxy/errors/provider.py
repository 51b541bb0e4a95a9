"""Frame.io away, busy, or not what its documentation says."""

from oauth_proxy.errors.base import ProxyError


class ProviderUnavailable(ProxyError):
    """The provider could not be asked or did not answer; nothing is known about the visitor."""

    status = 503
    title = "Frame.io cannot be reached"
    sentence = "Frame.io is not answering at the moment. Nothing is lost; please try again shortly."
    retry_after = 10


class ProviderAway(ProviderUnavailable):
    """No connection, no answer in time, or a 5xx: it says that the provider is away, whoever asked."""


class ProviderPaused(ProviderAway):
    """The provider was not asked, because it has been away for several others and is only tried now and then."""


class ProviderBusy(ProviderUnavailable):
    """The provider asks for patience (RFC 6585 4, 429); `retry_after` says for how long."""

    title = "Frame.io asks for patience"
    sentence = "Frame.io takes no more requests at the moment. Nothing is lost; please try again shortly."


class ProviderNonsense(ProviderUnavailable):
    """The provider answered something that is not what its documentation says."""

    status = 502
    title = "Frame.io gave an unexpected answer"
    sentence = "Frame.io answered in a way this site does not understand. Please try again shortly."


class ProviderRefusedUs(ProviderNonsense):
    """The provider refuses this proxy's own credentials or request: a setting is wrong."""

    title = "This site is not set up correctly"
    sentence = "Frame.io does not accept this site's own credentials. Please tell the people who run it."
