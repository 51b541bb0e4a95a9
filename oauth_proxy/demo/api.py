"""Frame.io's API as far as a proxy asks it: who am I, and what am I in my account and teams?"""

from collections.abc import Callable, Mapping
from math import ceil
from typing import Any

from aiohttp import web

from oauth_proxy.demo.grants import Grant, Grants
from oauth_proxy.demo.people import ELSEWHERE_ACCOUNT, STUDIO_ACCOUNT, Api, Directory, Person

WINDOW = 60  # seconds in which a person's calls are counted
LEGACY = "x-frameio-legacy-token-auth"
USUAL_PAGE, LARGEST_PAGE = 50, 100

NAMES = {STUDIO_ACCOUNT: "Studio", ELSEWHERE_ACCOUNT: "Elsewhere"}


class ApiError(Exception):
    """A refusal by the API: its status (401, 403, 404 or 429), its two texts, and headers of its own."""

    def __init__(self, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {title}: {detail}")
        self.status = status
        self.title = title
        self.detail = detail
        self.headers = headers or {}

    def fields(self, api: Api) -> dict[str, Any]:
        """The JSON body in the API's own shape."""
        if api == "v4":
            return {"errors": [{"title": self.title, "detail": self.detail}]}
        one = {"code": self.status, "status": self.status, "title": self.title, "detail": self.detail}
        return {"code": self.status, "message": self.title, "errors": [one]}


class Bearers:
    """Whom a request's bearer token stands for, and whether they may call just now."""

    def __init__(
        self,
        grants: Grants,
        directory: Directory,
        clock: Callable[[], float],
        calls_per_minute: int,
        legacy: Grants | None = None,
    ) -> None:
        self._grants = grants
        self._legacy = legacy  # whose developer tokens are good, too, where a header says so
        self._directory = directory
        self._clock = clock
        self._most = calls_per_minute
        self._counted: dict[str, tuple[float, int]] = {}

    def person(self, request: web.Request, scope: str | None = None) -> Person:
        """The person who calls. Raises ApiError: 401 for the token, 403 for the scope, 429 for too many calls."""
        grant = self._grant(request)
        person = self._directory.person(grant.person_id) if grant else None
        if grant is None or person is None:
            raise ApiError(401, "Unauthorized", "The token is not valid or has expired.")
        if scope is not None and scope not in grant.access_scope:
            raise ApiError(403, "Forbidden", f"The token lacks the scope {scope}.")
        self._count(person)
        return person

    def _grant(self, request: web.Request) -> Grant | None:
        token = bearer(request)
        if token is None:
            return None
        if self._legacy is None or request.headers.get(LEGACY) != "true":
            return self._grants.live(token)
        grant = self._legacy.live(token)
        return grant if grant is not None and not grant.client_id else None

    def _count(self, person: Person) -> None:
        since, calls = self._counted.get(person.id, (self._clock(), 0))
        if self._clock() >= since + WINDOW:
            since, calls = self._clock(), 0
        if calls >= self._most:
            detail = f"At most {self._most} calls in {WINDOW} seconds."
            raise ApiError(429, "Too Many Requests", detail, self._limits(since + WINDOW - self._clock()))
        self._counted[person.id] = (since, calls + 1)

    def _limits(self, left: float) -> dict[str, str]:
        window = str(WINDOW * 1000)  # milliseconds
        return {
            "Retry-After": str(ceil(left)),
            "x-ratelimit-limit": str(self._most),
            "x-ratelimit-remaining": "0",
            "x-ratelimit-window": window,
        }


def bearer(request: web.Request) -> str | None:
    """The one bearer token of a request (RFC 6750 2.1), or None."""
    authorization = request.headers.getall("Authorization", [])
    scheme, _, token = authorization[0].partition(" ") if len(authorization) == 1 else ("", "", "")
    return token if scheme.lower() == "bearer" else None


class V2:
    """api.frame.io/v2; membership answers as its reference describes them."""

    def __init__(self, bearers: Bearers) -> None:
        self._bearers = bearers

    async def me(self, request: web.Request) -> web.StreamResponse:
        """GET /v2/me"""
        person = self._bearers.person(request, "account.read")
        return web.json_response(
            {
                "_type": "user",
                "id": person.id,
                "email": person.email,
                "name": person.name,
                "account_id": person.account_id,
            }
        )

    async def account_membership(self, request: web.Request) -> web.StreamResponse:
        """GET /v2/accounts/{id}/membership"""
        person = self._bearers.person(request, "account.read")
        if request.match_info["id"] != person.account_id:
            raise ApiError(404, "Not Found", "No such account for this person.")
        roles = {"account": person.account_role, "team": person.team_role}
        known = {name: role for name, role in roles.items() if role is not None}
        return web.json_response(known | {"reviewer": person.reviewer})

    async def teams(self, request: web.Request) -> web.StreamResponse:
        """GET /v2/teams"""
        person = self._bearers.person(request, "team.read")
        return web.json_response(
            [
                {"_type": "team", "id": team, "account_id": person.account_id, "name": "Edit"}
                for team in person.teams
            ]
        )

    async def team_membership(self, request: web.Request) -> web.StreamResponse:
        """GET /v2/teams/{id}/membership"""
        person = self._bearers.person(request, "team.read")
        role = person.teams.get(request.match_info["id"])
        if role is None:
            raise ApiError(404, "Not Found", "No such team for this person.")
        return web.json_response({"role": role})


def _account(account_id: str, role: str) -> dict[str, Any]:
    days = {"created_at": "2024-01-01T00:00:00Z", "updated_at": "2024-01-01T00:00:00Z"}
    name = NAMES.get(account_id, "Account")
    return {"id": account_id, "display_name": name, "roles": [role], "storage_usage": 0, **days}


class V4:
    """api.frame.io/v4 and Adobe's userinfo."""

    def __init__(self, bearers: Bearers) -> None:
        self._bearers = bearers

    async def me(self, request: web.Request) -> web.StreamResponse:
        """GET /v4/me"""
        person = self._bearers.person(request)
        return web.json_response({"data": {"id": person.id, "email": person.email, "name": person.name}})

    async def accounts(self, request: web.Request) -> web.StreamResponse:
        """GET /v4/accounts, page_size of them after a cursor."""
        person = self._bearers.person(request)
        role = person.account_role if person.account_role in ("owner", "admin") else "member"
        accounts = [_account(*each) for each in [(person.account_id, role), *person.accounts.items()]]
        try:
            size = int(request.query.get("page_size", USUAL_PAGE))
            start = int(bytes.fromhex(request.query.get("after", "30")))
        except ValueError:
            raise ApiError(400, "Bad Request", "A page_size is a number, a cursor one that was given.") from None
        if start < 0 or not 1 <= size <= LARGEST_PAGE:
            raise ApiError(422, "Unprocessable", f"A page has 1 to {LARGEST_PAGE} entries.")
        following = None
        if start + size < len(accounts):
            cursor = str(start + size).encode().hex()
            following = f"{request.path}?after={cursor}&page_size={size}"
        answer = {"data": accounts[start : start + size], "links": {"next": following}}
        return web.json_response(answer | {"total_count": len(accounts)})

    async def userinfo(self, request: web.Request) -> web.StreamResponse:
        """GET /ims/userinfo/v2"""
        person = self._bearers.person(request, "openid")
        return web.json_response({"sub": person.id, "email": person.email, "name": person.name})
