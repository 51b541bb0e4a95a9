"""Keeps what somebody has typed into a form whose POST cannot be answered, and gives it back in the page.

The law: it is held only while that one request is answered, within a bound that strangers share, and goes into
the page only if a page of this very origin has sent it: a form of another site would be passed off as ours. It is
sent again by a person's click and in no other way, and to whom it belongs is sealed.
"""

import asyncio
import json
import string
from collections.abc import AsyncIterator
from contextlib import nullcontext, suppress
from functools import partial
from urllib.parse import quote

from aiohttp import web

from oauth_proxy.aiohttp_private import BODY_ERRORS
from oauth_proxy.door import Door
from oauth_proxy.errors import BadRequest, RequestTooSlow, SignatureRefused, SignInRequired, TooMuchHeld
from oauth_proxy.forms import (
    LONGEST,
    LONGEST_WITH_FILES,
    Again,
    Form,
    Held,
    Kept,
    NotAForm,
    as_stream,
    enctype_of,
    read_form,
)
from oauth_proxy.headers import is_navigation, is_own_form
from oauth_proxy.oauth import single
from oauth_proxy.outcomes import Refused
from oauth_proxy.own_routes import SEND_AGAIN, Query, read_query
from oauth_proxy.paths import Target
from oauth_proxy.reading import LONGEST_LINE
from oauth_proxy.requests import Request
from oauth_proxy.seal import Sealer, Unsealable
from oauth_proxy.settings import OUR_ROUTES
from oauth_proxy.upstream.outgoing import Coming, awaits_continue, send_continue
from oauth_proxy.upstream.whole import Room

MOST_HELD = 32 * 1024 * 1024
"""Bytes of forms, and of the pages that give them back."""
MOST_OF_ONE = MOST_HELD // 4
"""Bytes of that for one client."""
DEADLINE = 30.0
"""Seconds in which a form that is answered by a page of ours must have arrived."""

_WORTH_KEEPING = frozenset({401, 403, 409, 429, 502, 503, 504})
_SAFE = "".join(set(string.punctuation) - set("#\\"))  # an address ends at #, and browsers take \ for /
_BREAKS_OFF = (*BODY_ERRORS, web.RequestPayloadError)


class TypedForms:
    """Keeps forms. A body must bring `body_rate` bytes a second."""

    def __init__(self, door: Door, sealer: Sealer, *, body_rate: float) -> None:
        self._door = door
        self._sealer = sealer
        self._body_rate = body_rate
        self.room = Room(MOST_HELD, MOST_OF_ONE)
        """What is held, and whose it is."""

    def is_form(self, request: Request) -> bool:
        """Whether a form on a page of this origin sends this."""
        return (
            request.method == "POST"
            and is_navigation(request.method, request.fields)
            and enctype_of(request.fields[b"content-type"]) is not None
            and is_own_form(self._origin(request), request.fields)
        )

    def is_foreign(self, request: Request) -> bool:
        """Whether another site's page sends this form: no cookie of ours comes with it (SameSite=Lax)."""
        is_form = request.method == "POST" and is_navigation(request.method, request.fields)
        return is_form and request.fields[b"sec-fetch-site"] == [b"cross-site"]

    async def hold(self, request: Request) -> bytes | None:
        """The whole body of a form that is to be sent to the tool, if it is short; it is held until `release`.

        None for everything else, and when there is no room: that goes to the tool as it comes. Raises
        RequestTooSlow and BadRequest as for any body.
        """
        length = request.content_length
        if not length or length > LONGEST or not self.is_form(request):
            return None
        try:
            held = self._take(request, length)
        except TooMuchHeld:
            return None
        body = bytearray()
        async for piece in self._pieces(request):
            body += piece
        held.body = bytes(body)
        return held.body

    async def keep(self, request: Request, target: Target | None, refused: Refused) -> Kept | None:
        """What the page keeps of a form that is refused; None if this is none, or none worth it.

        Of any other form, read the rest: browsers that are still sending it would not read the page. `target` is
        None if it could not be read.
        """
        if request.method != "POST" or refused.visit.by_program or not is_navigation("POST", request.fields):
            return None
        kept, is_of_stranger = None, refused.visit.session is None
        with request.protocol.may_give_way() if is_of_stranger else nullcontext():
            ends_at = asyncio.get_running_loop().time() + DEADLINE
            if target is not None and self._is_worth_keeping(request, target, refused):
                form = await self._form_by(ends_at, request)
                kept = Kept(form, self._action(request, target, refused), may_have_it=request.asked)
            if not awaits_continue(request):
                await _read_on(request, ends_at)
        return kept

    def _is_worth_keeping(self, request: Request, target: Target, refused: Refused) -> bool:
        if refused.error.status not in _WORTH_KEEPING or isinstance(refused.error, SignatureRefused):
            return False
        is_for_us = target.path.startswith(OUR_ROUTES) and target.path != SEND_AGAIN
        return self.is_form(request) and not is_for_us

    async def deliver(self, request: Request, response: web.StreamResponse) -> None:
        """Send a page that holds a form: it may be long, and counts until the client has taken it."""
        if request.held is not None:
            await response.prepare(request)
            await response.write_eof()
            await request.protocol.taken()

    def release(self, request: Request) -> None:
        """The request is answered: forget what was held of it."""
        if request.held is not None:
            self.room.give_back(request.client, request.held.size)
            request.held = request.page = None

    def require_own(self, request: Request) -> None:
        """Raises BadRequest for what no page of this origin sends: only pages of ours lead a form on."""
        if not is_own_form(self._origin(request), request.fields):
            raise BadRequest("a form to be sent again, but not by a page of ours")

    def again(self, query: Query) -> Again:
        """What the query of SEND_AGAIN asks for. Raises BadRequest if it is not sealed by us."""
        try:
            url, who = json.loads(self._sealer.open(single(query, "form") or ""))
        except Unsealable:
            raise BadRequest("a form to be sent again, but no seal of ours") from None
        return Again(url, who)

    async def read_past(self, request: Request) -> None:
        """Read a body to its end, and drop it: many browsers read no answer before. Raises as `hold` does."""
        async for _ in self._pieces(request):
            pass

    async def _pieces(self, request: Request) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises RequestTooSlow, and BadRequest if it breaks off."""
        send_continue(request)
        coming = Coming(request.content, self._body_rate)
        try:
            while piece := await coming.next():
                yield piece
        except _BREAKS_OFF as error:
            raise BadRequest(f"the request's body broke off: {type(error).__name__}") from None

    async def _form_by(self, ends_at: float, request: Request) -> Form | None:
        try:
            async with asyncio.timeout_at(ends_at):
                return await self._form(request)
        except (NotAForm, RequestTooSlow, TimeoutError, TooMuchHeld, *_BREAKS_OFF):
            return None

    async def _form(self, request: Request) -> Form:
        """The form, from what is held of it or from the client. Raises NotAForm, and what stops it from coming."""
        [content_type] = request.fields[b"content-type"]
        if request.held is not None and request.held.body is not None:
            form = await read_form(content_type, as_stream(request.held.body, request.protocol))
        else:
            length, has_files = request.content_length, content_type.lower().startswith(b"multipart/")
            if length is None or length > (LONGEST_WITH_FILES if has_files else LONGEST) or request.asked:
                raise NotAForm("too long, or sent to the tool already")
            send_continue(request)
            form = await read_form(content_type, request.content, partial(self._take, request))
        self._take(request, form.longest_page)
        return form

    def _action(self, request: Request, target: Target, refused: Refused) -> str:
        """Where the page's form leads: to a route of ours that asks whose form it is, and sends it on.

        To the address itself where that is too long for another one around it.
        """
        asked = self.again(read_query(target.query)) if target.path == SEND_AGAIN else None
        url = asked.url if asked else self._origin(request) + _as_sent(request.raw_path)
        if request.session is not None:
            who: str | None = request.session.identity.id
        elif asked is not None:
            who = asked.who
        else:
            who = _owner(request) if self._needs_session(request, target, refused) else None
        action = f"{SEND_AGAIN}?form={self._sealer.seal(json.dumps([url, who]).encode())}"
        return action if len(action) < LONGEST_LINE - 1024 else url

    def _needs_session(self, request: Request, target: Target, refused: Refused) -> bool:
        if isinstance(refused.error, SignInRequired):
            return True
        return self._door.need(request.method, target, request.fields) == "session"

    def _origin(self, request: Request) -> str:
        return self._door.site.origin_at(request.fields.host)

    def _take(self, request: Request, size: int) -> Held:
        """Hold `size` bytes more for the request. Raises TooMuchHeld."""
        self.room.take(request.client, size)
        if request.held is None:
            request.held = Held()
        request.held.size += size
        return request.held


async def _read_on(request: Request, ends_at: float) -> None:
    with suppress(TimeoutError, *_BREAKS_OFF):
        async with asyncio.timeout_at(ends_at):
            while request.content.total_bytes < LONGEST_WITH_FILES and await request.content.readany():
                pass


def _owner(request: Request) -> str:
    """Whose session the request has brought, although that is over; empty if it is not known."""
    return request.brought.identity.id if request.brought is not None else ""


def _as_sent(target: str) -> str:
    """The path and query of a request line, so that a browser asks for the same bytes again."""
    path = target if target.startswith("/") else "/" + target.partition("://")[2].partition("/")[2]
    return quote(path, safe=_SAFE, errors="surrogateescape")
