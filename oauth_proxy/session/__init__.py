"""Keeps who is signed in: sealed in cookies, refreshed once, ended for good."""

from oauth_proxy.session.attempts import MOST_TRIES, Attempts, Destination
from oauth_proxy.session.desk import Desk
from oauth_proxy.session.ended import Ended, Journal
from oauth_proxy.session.live import Live
from oauth_proxy.session.memory import Memory, end_user, memory_for
from oauth_proxy.session.refresh import Refresher
from oauth_proxy.session.sessions import Sessions, Visit
from oauth_proxy.session.store import Absence, CookieStore

__all__ = [
    "MOST_TRIES",
    "Absence",
    "Attempts",
    "CookieStore",
    "Desk",
    "Destination",
    "Ended",
    "Journal",
    "Live",
    "Memory",
    "Refresher",
    "Sessions",
    "Visit",
    "end_user",
    "memory_for",
]
