"""What is decided about a request before anybody waits: whether it may be asked here, and what lets it through.

The law: each of these decisions is made here and nowhere else, from the request and the configuration alone. The
gateway does what is decided, and `oauth-proxy explain` tells it.
"""

from typing import Literal

from oauth_proxy import reading
from oauth_proxy.access import Access
from oauth_proxy.errors import BadRequest, FieldsTooLarge, MethodNotAllowed, Misdirected
from oauth_proxy.headers import Fields, asks_for_websocket
from oauth_proxy.paths import Site, Target, named, read_target
from oauth_proxy.webhooks import SignedCall, Webhooks

Need = SignedCall | Literal["nothing", "session"]
"""What lets a request through: a signature of Frame.io's, nothing (the path is public), or a session."""

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Door:
    """The decisions about requests to one site, by its rules and webhooks."""

    def __init__(self, site: Site, access: Access, webhooks: Webhooks) -> None:
        self.site = site
        self.access = access
        self._webhooks = webhooks

    def read(self, method: str, sent: str, fields: Fields) -> Target:
        """Check a request, and return its target; `sent` is the target of its request line.

        Raises FieldsTooLarge, MethodNotAllowed, BadRequest, and Misdirected for another site's.
        """
        if fields.size > reading.LONGEST_FIELDS:
            raise FieldsTooLarge("header fields of a tolerable size, but too many of them")
        if method == "TRACE":
            raise MethodNotAllowed("TRACE has the tool send back the visitor's access token", allow=_METHODS)
        if method == "CONNECT":
            raise MethodNotAllowed("CONNECT asks for a tunnel to somewhere else", allow=_METHODS)
        hosts = fields[b"host"]
        if len(hosts) != 1:
            raise BadRequest("not exactly one Host header")
        host = hosts[0].decode("latin-1")
        if not self.site.is_ours(host):
            raise Misdirected(f"the Host header names another site: {named(host)}")
        return read_target(sent, host)

    def need(self, method: str, target: Target, fields: Fields) -> Need:
        """What lets a request for the tool through. Raises what `Webhooks.expect` raises."""
        call = self._webhooks.expect(method, target, fields)
        if call is not None:
            return call
        rule = self.access.public_rule(method, target)
        return "session" if rule is None or (asks_for_websocket(fields) and not rule.sockets) else "nothing"

    def is_open(self, path: str) -> bool:
        """Whether anybody may open this path, which we have made, as a page."""
        return self.access.is_public("GET", read_target(path, ""))
