"""Answers the requests for the status page, and for what can be done there.

The law: nothing changes by opening an address. A button's form is sealed with `session.secret`, is sent from this
very page by somebody at this machine, and says itself what it does.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qs

from aiohttp import web

from oauth_proxy import __version__
from oauth_proxy.commands import Command
from oauth_proxy.identity import Seen
from oauth_proxy.pages import OperatorPages, Page
from oauth_proxy.recent import STEP
from oauth_proxy.seal import Unsealable
from oauth_proxy.settings import Settings, effective
from oauth_proxy.siblings import LAST_MINUTES, Siblings
from oauth_proxy.status.buttons import LASTS, Button, Buttons
from oauth_proxy.status.guard import Guard
from oauth_proxy.status.health import Known, checks, verdict
from oauth_proxy.status.numbers import Numbers
from oauth_proxy.status.people import People, people, troubles
from oauth_proxy.status.plots import answers, plots
from oauth_proxy.status.words import lasting, several, stamp
from oauth_proxy.telemetry import LEVELS, distinct, merged

PATHS = ("/", "/people", "/settings", "/end", "/reload", "/log-level")
"""What is answered here."""
_BUTTONS = {"/end": "end", "/reload": "reload", "/log-level": "log-level"}
"""The commands, by the paths of their forms."""
REFRESH = 15
"""Seconds after which the page asks for itself again."""
_AT_ONCE = 20
"""People on the first page."""
_MOST = 2000
"""People on the page of all of them."""
_STORE_PATIENCE = 3.0
"""Seconds for the store to say who is signed in."""
_OPERATOR = "somebody at the status page"
"""Who gives the commands, for the audit stream: nobody has to say a name."""
_DONE: dict[str, str] = {
    "ended": "All sessions of that person have ended.",
    "ended-here": "All sessions of that person have ended here. The store could not be told yet: it will be.",
    "nobody": "Nobody with that id was signed in.",
    "reloaded": "The file as it is now is in use.",
    **{level: f"The log has {level} and above from now on." for level in LEVELS},
}
"""What the page says of what was done, by the `done` of its query."""

_WHY_NOT_THERE = (
    "Names, addresses, settings and buttons are only shown at a listener that this machine alone reaches: with "
    "admin.listen on 127.0.0.1, or a Unix socket."
)
_WHY_NOT_THEM = (
    "Names, addresses, settings and buttons are only shown to somebody who opens this page in a browser at this "
    "machine, also through a tunnel of ssh; not to programs, and not through another proxy."
)

Obey = Callable[[Command], Awaitable[Mapping[str, Any]]]
"""Does what a command says, and returns the reply that the command line would have."""


class Desk(Protocol):
    """Knows who is signed in."""

    async def seen(self) -> list[Seen]:
        """All known signed-in users."""
        ...

    async def is_first(self, nonce: str, lasts: float) -> bool:
        """Whether nobody has asked that before with this nonce."""
        ...


@dataclass(frozen=True, slots=True)
class Here:
    """What the process that answers knows. `listens` says what it listens for and where."""

    listens: Mapping[str, str]
    is_ready: Callable[[], bool]
    full: Callable[[], str | None]
    store: Callable[[], str | None]
    audit: Callable[[], str | None]
    since: float
    """When the proxy started, in monotonic seconds."""
    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


class StatusPage:
    """The status page of one proxy; `guard` decides who sees what."""

    def __init__(self, settings: Settings, guard: Guard, desk: Desk, siblings: Siblings, here: Here) -> None:
        self._settings = settings
        self._guard = guard
        self._desk = desk
        self._siblings = siblings
        self._here = here
        self._buttons = Buttons(settings.session.keys, settings.public_url, here.wall)
        self._pages = OperatorPages(name=settings.shown_name)

    async def handle(
        self, request: web.BaseRequest, read: Callable[[web.BaseRequest], Awaitable[str]], obey: Obey
    ) -> web.Response:
        """Answer a request for one of PATHS. `read` returns a body, or raises Unsealable."""
        path, _, query = request.raw_path.partition("?")
        allowed = ("GET", "HEAD", "POST") if path in _BUTTONS else ("GET", "HEAD")
        if request.method not in allowed:
            return web.Response(status=405, headers={"Allow": ", ".join(allowed)})
        if not self._guard.knows_host(request):
            return _sent(self._pages.told(421, "Another host", "This page is at localhost, and at no other name."))
        asked = _fields(query)
        is_here = self._guard.is_somebody_here(request)
        if path == "/":
            if not self._guard.comes_from_here(request):  # a link of somebody else's says nothing of what was done
                asked.pop("done", None)
            return await self._status(asked, is_here=is_here)
        if not is_here:
            return _sent(self._pages.told(403, "Not from here", self._why_not()))
        if request.method == "POST":
            return await self._pressed(request, _BUTTONS[path], read, obey)
        return await self._opened(path, asked)

    # What is shown

    async def _status(self, asked: Mapping[str, str], *, is_here: bool) -> web.Response:
        who = await self._people(_AT_ONCE) if is_here else People([])
        try:
            known, rows, recent = await self._known(is_here=is_here)
        except TimeoutError:
            told = "The parent process does not reply, so little is known. This page asks again by itself."
            return _sent(self._pages.told(503, "No reply", told, refresh=REFRESH))
        found = checks(self._settings, known)
        now, first = known.now, int(self._here.since // STEP)
        asked_for = sum(answers(numbers) for numbers in known.steps.values())
        page = await asyncio.to_thread(
            self._pages.status,
            verdict=verdict(found),
            checks=found,
            plots=plots(known.steps, known.step, first),
            asked=f"{several(asked_for, 'request')} in the last 15 minutes",
            recent=f"{several(recent, 'session was', 'sessions were')} in use",
            running=lasting(self._here.monotonic() - self._here.since),
            done=_DONE.get(asked.get("done", "")),
            refresh=None if asked.get("refresh") == "off" else REFRESH,
            at=stamp(now),
            version=__version__,
            is_here=is_here,
            why_not=self._why_not(),
            levels=list(LEVELS),
            people=who,
            troubles=troubles(rows, now) if is_here else [],
        )
        return _sent(page)

    async def _opened(self, path: str, asked: Mapping[str, str]) -> web.Response:
        """A page that does not ask for itself again: nobody loses what they read there."""
        match path:
            case "/people":
                values = {"people": await self._people(_MOST), "at": stamp(self._here.wall())}
                return _sent(await asyncio.to_thread(self._pages.people, **values))
            case "/settings":
                return _sent(self._pages.settings(text=effective(self._settings)))
            case "/reload":
                return self._ask("reload", None, "Load the file again?", "Load it again")
            case "/log-level" if asked.get("to") in LEVELS:
                level = asked["to"]
                return self._ask("log-level", level, f"Log {level} and above?", f"Log {level}")
            case "/end" if asked.get("user"):
                return self._ask("end", asked["user"], "End all their sessions?", "End all their sessions")
        return _sent(self._pages.told(404, "Nothing here", "This address names nothing that can be done."))

    def _ask(self, name: str, subject: str | None, title: str, label: str) -> web.Response:
        form = self._buttons.made(name, subject)
        return _sent(self._pages.ask(command=name, subject=subject, title=title, label=label, form=form))

    async def _known(self, *, is_here: bool) -> tuple[Known, list[dict[str, Any]], int]:
        gather = self._siblings.gather
        told, recent, levels, minutes = await asyncio.gather(
            gather("metrics"), gather("recent"), gather("log level"), gather(LAST_MINUTES)
        )
        [last] = [each for each in minutes if each]
        known = Known(
            Numbers(merged(told)),
            dict(last["steps"]),
            int(self._here.monotonic() // STEP),
            self._here.wall(),
            last["line"],
            levels,
            self._here.is_ready(),
            self._here.full(),
            self._here.store(),
            self._here.audit(),
            self._here.listens if is_here else {},
        )
        return known, last["rows"], distinct(recent)

    async def _people(self, most: int) -> People:
        """Who is signed in. Ask this before `here.store`: it is here that a store turns out to be away."""
        try:
            async with asyncio.timeout(_STORE_PATIENCE):
                seen = await self._desk.seen()
            is_whole = self._here.store() is None
        except TimeoutError:
            seen, is_whole = [], False
        return await asyncio.to_thread(people, seen, self._here.wall(), most, is_whole=is_whole)

    def _why_not(self) -> str:
        if not self._guard.is_local:
            return _WHY_NOT_THERE
        return _WHY_NOT_THEM

    # What is done

    async def _pressed(
        self, request: web.BaseRequest, name: str, read: Callable[[web.BaseRequest], Awaitable[str]], obey: Obey
    ) -> web.Response:
        try:
            button = await self._button(request, name, read)
        except Unsealable:
            told = "This form is too old, or not from this page. Open it again, and nothing was done."
            return _sent(self._pages.told(403, "Not done", told))
        if not await self._desk.is_first(button.nonce, LASTS):
            return _sent(
                self._pages.told(409, "Once is enough", "This form was sent before, and is not obeyed twice.")
            )
        reply = await obey(Command.new(button.name, button.subject, self._here.wall(), _OPERATOR))
        if "refused" in reply:
            return _sent(self._pages.told(503, "Not done", f"The proxy refuses: {reply['refused']}."))
        if problems := reply.get("problems"):
            told = "The proxy goes on as before, because something is wrong with the file:"
            return _sent(self._pages.told(422, "Not loaded", told, lines=problems))
        done = f"/?done={_outcome(button.name, button.subject, reply)}"
        return web.Response(status=303, headers={"Location": done, "Cache-Control": "no-store"})

    async def _button(
        self, request: web.BaseRequest, name: str, read: Callable[[web.BaseRequest], Awaitable[str]]
    ) -> Button:
        """The button that was pressed. Raises Unsealable if it is none of this page's for such a command."""
        if not self._guard.is_own_form(request):
            raise Unsealable
        return self._buttons.opened(name, _fields(await read(request)).get("form", ""))


def _outcome(name: str, subject: str | None, reply: Mapping[str, Any]) -> str:
    """The key of _DONE."""
    if name == "end":
        if not reply["known"]:
            return "nobody"
        return "ended" if reply["untold"] is None else "ended-here"
    return "reloaded" if name == "reload" else subject or ""


def _fields(text: str) -> dict[str, str]:
    """The first value of each field of a query or form; none of one that nobody sends by pressing a button."""
    try:
        return {name: values[0] for name, values in parse_qs(text, max_num_fields=10).items()}
    except ValueError:
        return {}


def _sent(page: Page) -> web.Response:
    return web.Response(status=page.status, body=page.body, headers=dict(page.headers))
