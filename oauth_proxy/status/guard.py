"""Who may see names, and who may press a button: somebody at a browser on the machine of the proxy.

The law: whoever is not known to be that sees what /metrics tells anyway, and changes nothing.

The admin listener has no login. So what reaches people's data has to come by a listener that only this machine
reaches, from a browser that names this machine as the host, which another site's page cannot bring about (DNS
rebinding), and that says itself that somebody looks at the answer. A program that was talked into asking for an
address (SSRF) says no such thing.
"""

import re
import socket
from collections.abc import Iterable

from aiohttp import web

from oauth_proxy.settings import Listen

_THIS_MACHINE = re.compile(
    r"(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE | re.ASCII
)
_PASSED_ON = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")
"""A proxy adds one of these: what it passes on, somebody else has asked for."""
_OF_BROWSERS = "keep-alive"
"""The Connection field of every browser. It ends at the next hop (RFC 9110 7.6.1): a front proxy that adds nothing
to a request, such as nginx by default, still has another one, or none."""


def are_local(sockets: Iterable[socket.socket]) -> bool:
    """Whether only this machine can connect to these sockets."""
    return all(each.family == socket.AF_UNIX or Listen(str(each.getsockname()[0])).is_local for each in sockets)


class Guard:
    """Decides about requests to a listener that only this machine reaches, or (`is_local` is false) others too."""

    def __init__(self, *, is_local: bool) -> None:
        self.is_local = is_local

    def knows_host(self, request: web.BaseRequest) -> bool:
        """Whether the request may have an answer at all: at a local listener, its Host is this machine.

        The port may be another one: that of a tunnel.
        """
        hosts = request.headers.getall("Host", [])
        return not self.is_local or (len(hosts) == 1 and _THIS_MACHINE.fullmatch(hosts[0]) is not None)

    def is_somebody_here(self, request: web.BaseRequest) -> bool:
        """Whether somebody at a browser on this machine opens a page, not a program, and not a part of a page."""
        headers = request.headers
        return (
            self.is_local
            and self.knows_host(request)
            and headers.get("Sec-Fetch-Mode") == "navigate"
            and headers.get("Sec-Fetch-Dest") == "document"
            and headers.get("Connection", "").lower() == _OF_BROWSERS
            and not any(name in headers for name in _PASSED_ON)
        )

    def is_own_form(self, request: web.BaseRequest) -> bool:
        """Whether a form of this very page was sent by somebody here (Fetch 3.2; Fetch Metadata)."""
        headers = request.headers
        return (
            self.is_somebody_here(request)
            and headers.getall("Origin", []) == [f"http://{headers['Host']}"]
            and self.comes_from_here(request)
        )

    def comes_from_here(self, request: web.BaseRequest) -> bool:
        """Whether a page of ours has led here, or asked for itself again."""
        return request.headers.get("Sec-Fetch-Site") == "same-origin"
