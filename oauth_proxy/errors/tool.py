"""The tool does not respond as it should."""

from oauth_proxy.errors.base import ProxyError


class UpstreamUnreachable(ProxyError):
    """The proxy cannot connect to the tool, or the tool closed the connection before it responded."""

    status = 502
    title = "The tool is not answering"
    sentence = "You are signed in, but the tool behind this page is not running right now."
    retry_after: int | None = 2


class UpstreamNonsense(UpstreamUnreachable):
    """The tool's response is not HTTP that can be forwarded safely."""

    title = "The tool gave a broken answer"
    sentence = "The tool behind this page answered in a way that cannot be shown."
    retry_after = None


class UpstreamTimeout(UpstreamUnreachable):
    """The tool took longer than its timeout."""

    status = 504
    title = "The tool is too slow"
    sentence = "The tool behind this page did not answer in time."
    retry_after = None


class HungUp(UpstreamUnreachable):
    """The tool closed the connection between two responses."""


class UpstreamBusy(UpstreamUnreachable):
    """The largest allowed number of requests waits for the tool already."""

    status = 503
    title = "The tool is too busy"
    sentence = "Too many people are using the tool behind this page right now. Please try again shortly."
    retry_after = 5
