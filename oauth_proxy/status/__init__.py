"""The status page of the admin listener: how the proxy is, who is signed in, and a few things to do about it."""

from oauth_proxy.status.guard import Guard, are_local
from oauth_proxy.status.page import PATHS, Here, StatusPage

__all__ = ["PATHS", "Guard", "Here", "StatusPage", "are_local"]
