"""An emulated Frame.io: both logins and the API behind them, strict wherever Frame.io is or may be."""

import secrets
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Literal
from urllib.parse import parse_qs

from aiohttp import web

from oauth_proxy.demo import api, dialects
from oauth_proxy.demo.authorization import Refused, SentBack
from oauth_proxy.demo.dialects import Dialect
from oauth_proxy.demo.faults import Faults, Handler
from oauth_proxy.demo.grants import Grant, Grants, OAuthError
from oauth_proxy.demo.people import CAST, Api, App, Directory, Person
from oauth_proxy.demo.signin import SignIn, page, see_other
from oauth_proxy.demo.tokens import NO_STORE, TokenRequest, Tokens

GRANT_TYPES = ("authorization_code", "refresh_token")
CREDENTIALS = ("code", "refresh_token", "token")
TOKEN_REQUESTS_KEPT = 1000


class FrameIO:
    """The emulated Frame.io.

    `calls` counts requests by endpoint, refused and failed ones too: authorize, token, token:authorization_code,
    token:refresh_token, revoke, logout, me, userinfo, accounts, account_membership, teams, team_membership.
    `token_requests` keeps the last thousand; `faults` makes endpoints fail.

    Lifetimes are in seconds. The refresh token's default is the dialect's (30 days in v2, 14 in v4) and runs
    from the login on, refreshed or not.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        apps: Iterable[App] = (),
        people: Iterable[Person] = CAST,
        *,
        access_lifetime: float = 3600,
        refresh_lifetime: float | None = None,
        rotate: bool = True,
        calls_per_minute: int = 100,
    ) -> None:
        self.calls: Counter[str] = Counter()
        self.token_requests: deque[TokenRequest] = deque(maxlen=TOKEN_REQUESTS_KEPT)
        self.faults = Faults()
        self._directory = Directory(apps, people)
        self._clock = clock
        self._calls_per_minute = calls_per_minute
        self._key = secrets.token_bytes(32)
        self._grants = {
            dialect.api: Grants(
                dialect,
                clock,
                access_lifetime=access_lifetime,
                refresh_lifetime=refresh_lifetime or dialect.refresh_lifetime,
                rotate=rotate,
            )
            for dialect in (dialects.V2, dialects.V4)
        }

    def register(self, app: App) -> None:
        """Add an app, or change the one with its client_id."""
        self._directory.apps[app.api, app.client_id] = app

    def put_person(self, person: Person) -> None:
        """Add somebody, or change whoever has that id: new team, new role, new name."""
        self._directory.people[person.id] = person

    def change_email(self, person: Person, email: str) -> None:
        """Let the person have another email address from now on."""
        self.put_person(replace(self._directory.people[person.id], email=email))

    def remove_person(self, person: Person) -> None:
        """Forget somebody: their tokens are dead and they cannot sign in."""
        self.revoke_all(person)
        del self._directory.people[person.id]

    def revoke_all(self, person: Person) -> None:
        """End everything the person ever allowed."""
        for grants in self._grants.values():
            grants.revoke_person(person.id)

    def revoke_token(self, token: str) -> None:
        """End one access or refresh token; in v2 its grant ends with it."""
        for grants in self._grants.values():
            if (grant := grants.holder(token)) is not None:
                grants.revoke(token, grant.client_id)

    @property
    def grants(self) -> list[Grant]:
        """Every grant that is remembered, v2's first and then by when it began."""
        return [grant for grants in self._grants.values() for grant in grants]

    def expire_access_tokens(self) -> None:
        """End every access token's life now; refresh tokens live on."""
        for grants in self._grants.values():
            grants.expire_access_tokens()

    def set_access_lifetime(self, seconds: float) -> None:
        """How long the next access tokens last."""
        for grants in self._grants.values():
            grants.access_lifetime = seconds

    def set_token_size(self, size: int) -> None:
        """How many bytes v4's next access and refresh tokens have: 512 or more, 3000 at first."""
        self._grants["v4"].token_size = size

    def issued(self, kind: Literal["code", "access", "refresh"]) -> list[str]:
        """Every one that either login issued, v2's first and then by when its grant began."""
        return [token for grants in self._grants.values() for token in grants.issued(kind)]

    def is_live(self, access_token: str) -> bool:
        """Whether the API would take this access token."""
        return any(grants.live(access_token) for grants in self._grants.values())

    def developer_token(self, person: Person) -> str:
        """A v2 developer token: an opaque bearer with every scope and no expiry. v4 takes it by a header."""
        return self._grants["v2"].developer_token(person.id)

    def app(self) -> web.Application:
        """A fresh application; several share this object's memory."""
        app = web.Application(middlewares=[self._count_and_fail, _answer_refusals])
        self._add_login(app, dialects.V2)
        self._add_login(app, dialects.V4)
        self._add_v2(app)
        self._add_v4(app)
        app.on_shutdown.append(self._release_the_hanging)
        return app

    def _add_login(self, app: web.Application, dialect: Dialect) -> None:
        grants, name = self._grants[dialect.api], dialect.api
        sign_in = SignIn(dialect, self._directory, grants, self._key)
        tokens = Tokens(dialect, self._directory, grants, self.token_requests)
        pages = app.router.add_resource(dialect.authorize, name=f"{name}.authorize")
        pages.add_route("GET", sign_in.show)
        pages.add_route("POST", sign_in.act)
        if dialect.logout is not None:
            app.router.add_get(dialect.logout, sign_in.logout, name=f"{name}.logout")
        app.router.add_post(dialect.token, tokens.token, name=f"{name}.token")
        app.router.add_post(dialect.revoke, tokens.revoke, name=f"{name}.revoke")

    def _add_v2(self, app: web.Application) -> None:
        v2, get = api.V2(self._bearers("v2")), app.router.add_get
        get("/v2/me", v2.me, name="v2.me")
        get("/v2/accounts/{id}/membership", v2.account_membership, name="v2.account_membership")
        get("/v2/teams", v2.teams, name="v2.teams")
        get("/v2/teams/{id}/membership", v2.team_membership, name="v2.team_membership")

    def _add_v4(self, app: web.Application) -> None:
        v4, get = api.V4(self._bearers("v4")), app.router.add_get
        get("/v4/me", v4.me, name="v4.me")
        get("/v4/accounts", v4.accounts, name="v4.accounts")
        get("/ims/userinfo/v2", v4.userinfo, name="v4.userinfo")

    def _bearers(self, name: Api) -> api.Bearers:
        legacy = self._grants["v2"] if name == "v4" else None
        return api.Bearers(self._grants[name], self._directory, self._clock, self._calls_per_minute, legacy)

    @web.middleware
    async def _count_and_fail(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        endpoints = await _endpoints(request)
        self.calls.update(endpoints)
        await self.faults.wait(endpoints)
        fault = self.faults.take(reversed(endpoints), await self._caller(request))
        if fault is None:
            return await handler(request)
        return await self.faults.play(fault, request, handler)

    async def _caller(self, request: web.Request) -> str | None:
        """The id of the person whose token or code a request brings, good or not."""
        form = parse_qs((await request.read()).decode("utf-8", "replace"))
        brought = [api.bearer(request), *(value for name in CREDENTIALS for value in form.get(name, ()))]
        held = [grants.holder(token) for grants in self._grants.values() for token in brought if token]
        return next((grant.person_id for grant in held if grant is not None), None)

    async def _release_the_hanging(self, app: web.Application) -> None:
        del app
        self.faults.release()


async def _endpoints(request: web.Request) -> list[str]:
    """What a request counts as, the wider name first."""
    resource = request.match_info.route.resource
    if resource is None or resource.name is None:
        return []
    endpoint = resource.name.partition(".")[2]
    if endpoint != "token":
        return [endpoint]
    asked = parse_qs((await request.read()).decode("utf-8", "replace")).get("grant_type", [])
    return [endpoint] + [f"{endpoint}:{grant_type}" for grant_type in GRANT_TYPES if grant_type in asked]


@web.middleware
async def _answer_refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The one place where a refusal becomes an answer."""
    try:
        return await handler(request)
    except OAuthError as error:
        challenge = {"WWW-Authenticate": 'Basic realm="Frame.io"'} if error.status == 401 else {}
        return web.json_response(error.fields(), status=error.status, headers=NO_STORE | challenge)
    except Refused as refused:
        return page("refused", status=refused.status, reason=refused.reason)
    except SentBack as sent:
        return see_other(sent.location)
    except api.ApiError as error:
        version: Api = "v4" if request.path.startswith(("/v4/", "/ims/")) else "v2"
        return web.json_response(error.fields(version), status=error.status, headers=error.headers)
