"""The tool's page on which things go wrong on purpose, and what it needs: a form, and a way to be away."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from oauth_proxy.demo.looks import HEADERS, PAGES

LARGEST = 16 * 2**20  # bytes of a form
SECONDS = re.compile(r"[1-9][0-9]?")

Leave = Callable[[int], None]
"""Takes the tool away for so many seconds, from its next answer on."""


@dataclass(frozen=True)
class _File:
    name: str
    size: int
    sha256: str


class Trouble:
    """The page and its two routes. Without `leave`, the tool cannot be taken away."""

    def __init__(self, leave: Leave | None, status_url: str = "") -> None:
        self._leave = leave
        self._status_url = status_url

    def routes(self) -> list[web.RouteDef]:
        """What belongs into an application."""
        return [web.get("/trouble", self.show), web.post("/note", self.note), web.post("/away", self.away)]

    async def show(self, request: web.Request) -> web.StreamResponse:
        """GET /trouble: the page."""
        return _page("trouble.html", here="/trouble", status_url=self._status_url, **_visitor(request))

    async def note(self, request: web.Request) -> web.StreamResponse:
        """POST /note: a page that says what a form brought, and whether it is what was typed."""
        _refuse_other_sites(request)
        try:
            fields = await request.clone(client_max_size=LARGEST).post()
        except ValueError:
            raise web.HTTPBadRequest(text="this is not a form that can be read\n") from None
        note, secret, typed = (_text(fields.get(name)) for name in ("note", "secret", "digest"))
        came = hashlib.sha256(f"{note}\0{secret}".encode()).hexdigest()
        return _page(
            "arrived.html",
            here="",
            user=_visitor(request)["email"],
            note=note,
            secret_size=len(secret.encode()),
            file=_file(fields.get("file")),
            same=came == typed if typed else None,
        )

    async def away(self, request: web.Request) -> web.StreamResponse:
        """POST /away?seconds=…: nobody answers here for 1 to 99 seconds, from this answer on."""
        _refuse_other_sites(request)
        asked = request.query.get("seconds", "10")
        if not SECONDS.fullmatch(asked):
            raise web.HTTPBadRequest(text="seconds is a whole number from 1 to 99\n")
        if self._leave is None:
            raise web.HTTPNotImplemented(text="this tool cannot be taken away\n")
        self._leave(int(asked))
        return web.json_response({"seconds": int(asked)}, status=202)


def _visitor(request: web.Request) -> dict[str, str | None]:
    told = {"user": "User", "email": "Email", "name": "Preferred-Username"}
    return {key: request.headers.get(f"X-Forwarded-{name}") for key, name in told.items()}


def _refuse_other_sites(request: web.Request) -> None:
    """The proxy does not check for CSRF; that is the tool's part."""
    if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        raise web.HTTPForbidden(text="this came from another site\n")


def _page(template: str, **values: Any) -> web.Response:
    html = PAGES.get_template(template).render(values)
    return web.Response(text=html, content_type="text/html", headers=HEADERS)


def _text(field: object) -> str:
    return field if isinstance(field, str) else ""


def _file(field: object) -> _File | None:
    if not isinstance(field, web.FileField) or not field.filename:
        return None
    with field.file as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type] # a file
        return _File(field.filename, file.tell(), digest)
