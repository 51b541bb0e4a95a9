"""A login that begins in a frame of another site's page, and goes through a window of its own."""

from collections.abc import Sequence
from urllib.parse import urlencode

from oauth_proxy.errors import AttemptUnknown
from oauth_proxy.headers import is_navigation
from oauth_proxy.oauth import single
from oauth_proxy.outcomes import Outcome
from oauth_proxy.own_routes import FRAMED, Query, read_query
from oauth_proxy.paths import Site
from oauth_proxy.requests import Request
from oauth_proxy.responses import Responses
from oauth_proxy.session import Destination, Handovers


class Framing:
    """What differs where a frame shows the response. [handovers.py](session/handovers.py) has the law."""

    def __init__(self, site: Site, responses: Responses, handovers: Handovers) -> None:
        self._site = site
        self._responses = responses
        self._handovers = handovers

    def led(self, request: Request, return_to: str) -> Outcome | None:
        """The redirect to the public host for a frame at another one; None if it need not be led there.

        The login ends at the public host, and what it hands over is for pages of that origin only.
        """
        if not self._responses.is_framed(request) or self._site.is_public(request.fields.host):
            return None
        return Outcome(self._responses.redirect(request, self._responses.start_url(return_to)))

    def beginning(self, request: Request, login_url: str, to: Destination, set_cookies: Sequence[str]) -> Outcome:
        """The page in a frame, where Frame.io shows nothing: it opens the login in a window of its own."""
        page = self._responses.pages_for(request).frame(login_url=login_url, own_url=to.return_to)
        return Outcome(self._responses.page(request, page, set_cookies))

    def is_window(self, request: Request, to: Destination | None) -> bool:
        """Whether this is the window of a login that a frame waits for."""
        return to is not None and to.framed and not self._responses.is_framed(request)

    def handed_over(self, request: Request, query: Query) -> Outcome | None:
        """The redirect that hands a callback over to the frame, which has other cookies; None if it cannot be."""
        sealed = self._handovers.seal(urlencode(query, doseq=True), request.client)
        if not sealed or not is_navigation(request.method, request.fields):
            return None
        return Outcome(self._responses.redirect(request, f"{self._site.url(FRAMED)}?handed={sealed}"))

    def end(self, request: Request) -> Outcome | None:
        """The page at the end of the window; None in a frame."""
        if self._responses.is_framed(request):
            return None
        page = self._responses.pages_for(request).frame_end(own_url=self._site.url("/"))
        return Outcome(self._responses.page(request, page))

    def callback(self, request: Request, query: Query) -> Query:
        """The query of the callback that the frame was handed.

        Raises AttemptUnknown if that is too old, or was sealed for somebody else or not by us.
        """
        handed = self._handovers.open(single(query, "handed") or "", request.client)
        if handed is None:
            raise AttemptUnknown("what a frame was handed is too old, or was made for another address")
        return read_query(handed)
