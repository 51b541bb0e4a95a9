"""A tool that does not answer as it should."""

from oauth_proxy.errors.base import ProxyError


class UpstreamUnreachable(ProxyError):
    """The tool cannot be connected to, or hung up before it answered."""

    status = 502
    title = "The tool is not answering"
    sentence = "You are signed in, but the tool behind this page is not running right now."


class UpstreamNonsense(UpstreamUnreachable):
    """The tool's answer is not HTTP that can be passed on safely."""

    title = "The tool gave a broken answer"
    sentence = "The tool behind this page answered in a way that cannot be shown."


class UpstreamTimeout(UpstreamUnreachable):
    """The tool took longer than its timeout."""

    status = 504
    title = "The tool is too slow"
    sentence = "The tool behind this page did not answer in time."


class HungUp(UpstreamUnreachable):
    """The tool closed the connection before the first byte of its answer."""


class UpstreamBusy(UpstreamUnreachable):
    """As many requests wait for the tool as may wait."""

    status = 503
    title = "The tool is too busy"
    sentence = "Too many people are using the tool behind this page right now. Please try again shortly."
    retry_after = 5
