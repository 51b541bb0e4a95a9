"""Keeps who is signed in: sealed in cookies, refreshed once, ended for good."""

from oauth_proxy.session.attempts import Attempts
from oauth_proxy.session.refresh import Refresher
from oauth_proxy.session.sessions import Sessions, Visit
from oauth_proxy.session.store import CookieStore

__all__ = ["Attempts", "CookieStore", "Refresher", "Sessions", "Visit"]
