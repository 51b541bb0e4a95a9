"""Request ids and traces: by these, lines of several programs' logs are found to be about one request.

The law: what a stranger sends is taken for an id only where its form is known, and a request id only from
`trusted_proxies`.
"""

import re
import secrets
from collections.abc import Sequence

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:=+/-]{1,128}")
_TRACEPARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<later>-.*)?"
)


def request_id(sent: Sequence[bytes]) -> str | None:
    """The id in the values of X-Request-Id; None unless it is one, of at most 128 letters, digits, `._:=+/-`."""
    return sent[0].decode("ascii") if len(sent) == 1 and _REQUEST_ID.fullmatch(sent[0]) else None


def trace_id(sent: Sequence[bytes]) -> str | None:
    """The trace id in the values of traceparent (W3C Trace Context 2.2); None if they are no valid one."""
    found = _TRACEPARENT.fullmatch(sent[0]) if len(sent) == 1 else None
    if found is None or (found["later"] and sent[0].startswith(b"00")):
        return None
    return found["trace"].decode("ascii")


def new_trace() -> tuple[str, bytes]:
    """The id of a new trace, and the traceparent for the tool. It says "sampled": who wants traces, wants this."""
    trace = secrets.token_hex(16)
    return trace, f"00-{trace}-{secrets.token_hex(8)}-01".encode("ascii")
