"""Keep the visitors' sessions: sealed in cookies, refreshed once per session, and ended in every process."""

from oauth_proxy.session.attempts import MOST_SIGNED_IN, MOST_TRIES, Attempts, Destination
from oauth_proxy.session.handles import Handles
from oauth_proxy.session.handovers import Handovers
from oauth_proxy.session.long_addresses import LongAddresses
from oauth_proxy.session.open_exchanges import OpenExchanges
from oauth_proxy.session.redemptions import Landing, Redemptions
from oauth_proxy.session.refresh import Refresher
from oauth_proxy.session.sessions import Sessions
from oauth_proxy.session.store import Absence, CookieStore

__all__ = [
    "MOST_SIGNED_IN",
    "MOST_TRIES",
    "Absence",
    "Attempts",
    "CookieStore",
    "Destination",
    "Handles",
    "Handovers",
    "Landing",
    "LongAddresses",
    "OpenExchanges",
    "Redemptions",
    "Refresher",
    "Sessions",
]
