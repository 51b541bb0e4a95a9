"""What every request gets before anything is decided about it: header fields, an id, a trace, client addresses."""

import secrets
from itertools import count

from oauth_proxy import correlation
from oauth_proxy.headers import TrustedProxies
from oauth_proxy.requests import HeaderCache, Request


class Introductions:
    """Introduces requests. What `peers` say is believed; with `traces`, a trace is begun where there is none."""

    def __init__(self, peers: TrustedProxies, *, traces: bool) -> None:
        self._peers = peers
        self._traces = traces
        self._header_cache = HeaderCache()
        self._request_ids = map(f"{secrets.token_hex(4)}-{{:x}}".format, count(1))

    def make(self, request: Request) -> None:
        """Introduce one request."""
        request.fields = self._header_cache.read(request.lines)
        request.request_id = self._front_id(request) or next(self._request_ids)
        if self._traces:
            request.trace_id = correlation.trace_id(request.fields[b"traceparent"]) or ""
            if not request.trace_id:
                request.trace_id, request.traceparent = correlation.new_trace()
        request.chain = self._peers.chain(request.remote, request.fields)

    def _front_id(self, request: Request) -> str | None:
        """The id that a trusted front proxy has given the request; None if there is none."""
        sent = request.fields[b"x-request-id"]
        return correlation.request_id(sent) if sent and self._peers.trusts(request.remote) else None
