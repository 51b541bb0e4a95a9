"""Ten thousand requests of mixed trouble through two workers, and what they tell of them."""

import asyncio
import json
import re
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from oauth_proxy import control
from oauth_proxy.demo.faults import Fault
from oauth_proxy.demo.people import EDITOR, GUEST, REVIEWER, Person
from oauth_proxy.identity import Identity
from oauth_proxy.settings import load
from tests.support.browser import NAVIGATING, Visitor
from tests.support.login import at_the_door
from tests.support.processes import Proxies, processes
from tests.support.proxy import STUDIO, WANTED, free_port
from tests.support.tool import a_tool, until
from tests.support.trouble import Caller, Crowd, Kind, Planted, troubled, worn_out_cookie
from tests.support.units import HOUR

TOTAL = 10_000
ACCESS = '"logger": "oauth_proxy.access"'
FREQUENT = 20
"""How many are signed in and have no trouble."""
SLOW = 0.8
"""Seconds that a slow Frame.io takes for a refresh."""
NO_SESSION = "no session: "
SIGN_IN = "sign_in_required"
KINDS = {
    "well": Kind(200, upstream="/", by="tool"),
    "no cookie": Kind(401, SIGN_IN, f"{NO_SESSION}no cookie"),
    "on the way in": Kind(302, None, f"{NO_SESSION}no cookie"),
    "foreign": Kind(401, SIGN_IN, f"{NO_SESSION}a foreign cookie"),
    "worn out": Kind(401, SIGN_IN, f"{NO_SESSION}an expired session"),
    "signs in": Kind(302),
    "says no": Kind(403, "consent_refused", "callback error 'access_denied'"),
    "signs out": Kind(200),
    "signed out": Kind(401, SIGN_IN, f"{NO_SESSION}an ended session"),
    "revoked": Kind(401, SIGN_IN, f"{NO_SESSION}an ended session"),
    "not allowed": Kind(403, "not_allowed", "no rule of access.allow fits: *@studio.example.com"),
    "not for this tool": Kind(403, "not_allowed", "no rule of upstreams./staff/.allow fits"),
    "wrong host": Kind(421, "misdirected", "the Host header names another site: 10.0.0.9"),
    "nowhere": Kind(404, "not_found", ""),
    "down": Kind(502, "upstream_unreachable", "", "/down/"),
    "own": Kind(502, upstream="/own/", by="tool"),
    "hangs up": Kind(502, "hung_up", "", "/hangs_up/"),
    "nonsense": Kind(502, "upstream_nonsense", "", "/nonsense/"),
    "half": Kind(200, None, "cut short: ", "/half/", by="tool"),
    "hang": Kind(504, "upstream_timeout", "", "/hang/"),
    "gives up": Kind(499, None, "the client went away", "/slow/"),
    "wrong token": Kind(401, "token_refused", ""),
    "guesses": Kind(429, "too_many_wrong_tokens", "a client brings one wrong token after another"),
    "frameio slow": Kind(200, upstream="/", by="tool"),
    "frameio down": Kind(503, "provider_away", "POST http://127.0.0.1"),
    "frameio busy": Kind(503, "provider_busy", ""),
    "frameio ends it": Kind(401, SIGN_IN, f"{NO_SESSION}an ended session"),
}
"""What becomes of each kind of request, and what its access line says of it."""


@dataclass
class Told:
    """What an operator has: the whole log, the access lines of it, the audit stream, and /metrics."""

    planted: dict[str, Planted]
    nameless: int
    log: list[str]
    audit_log: list[str]
    metrics: dict[str, float]
    lines: list[dict[str, Any]] = field(init=False)
    by_id: dict[str, dict[str, Any]] = field(init=False)
    audit: list[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.lines = [json.loads(line) for line in self.log if ACCESS in line]
        self.by_id = {line["request_id"]: line for line in self.lines}
        self.audit = [json.loads(line) for line in self.audit_log]

    def of(self, *kinds: str) -> dict[str, Planted]:
        return {name: each for name, each in self.planted.items() if each.kind in kinds}

    def sums(self, name: str, *labels: str) -> Counter[tuple[str, ...]]:
        """A counter's values by these labels, without those that are 0."""
        found: Counter[tuple[str, ...]] = Counter()
        for each, value in self.metrics.items():
            if each.partition("{")[0] == name and value:
                told = dict(re.findall(r'(\w+)="([^"]*)"', each))
                found[tuple(told[label] for label in labels)] += int(value)
        return found


async def played(folder: Path) -> Told:
    async with a_tool(troubled) as (tool, address):
        at = f"http://127.0.0.1:{address.port}"
        upstreams: dict[str, Any] = {f"/{each}/": f"{at}/{each}/" for each in ("slow", "half", "nonsense", "own")}
        upstreams |= {"/": at, "/down/": f"http://127.0.0.1:{free_port()}", "/hangs_up/": f"{at}/hangs_up/"}
        upstreams["/hang/"] = {"url": f"{at}/hang/", "timeout": "500ms"}
        upstreams["/staff/"] = {"url": at, "allow": [{"email": EDITOR.email}]}
        settings: dict[str, Any] = {
            "upstreams": upstreams,
            "workers": 2,
            "access": {**STUDIO, "bearer": "true"},
            "trusted_proxies": ["127.0.0.1"],
            "log": {"format": "json", "audit": str(folder / "audit.log")},
        }
        async with processes(folder, **settings) as proxies:
            crowd = Crowd(proxies.stage.listens_on, f"localhost:{proxies.stage.port}")
            try:
                await Play(proxies, crowd, tool).all()
            finally:
                await crowd.leave()
            with suppress(TimeoutError):
                await until(
                    lambda: len(proxies.log) >= TOTAL and sum(ACCESS in each for each in proxies.log) >= TOTAL
                )
            audit = (folder / "audit.log").read_text().splitlines()
            return Told(crowd.planted, crowd.nameless, proxies.log, audit, await proxies.metrics())


class Play:
    """What everybody does."""

    def __init__(self, proxies: Proxies, crowd: Crowd, tool: Any) -> None:
        self.proxies = proxies
        self.stage = proxies.stage
        self.frameio = proxies.stage.frameio
        self.crowd = crowd
        self.tool = tool
        self.turns = asyncio.Semaphore(8)

    async def all(self) -> None:
        people = [a_person(number) for number in range(FREQUENT)]
        frequent, [guest, reviewer, editor], [leaver, lost] = [
            await asyncio.gather(*map(self.signed_in, some))
            for some in (people, (GUEST, REVIEWER, EDITOR), (a_person(50), a_person(51)))
        ]
        self.frameio.set_access_lifetime(1)
        short = await asyncio.gather(*(self.signed_in(a_person(60 + number)) for number in range(8)))
        began = time.time()
        self.frameio.set_access_lifetime(HOUR)
        await asyncio.gather(
            *(each.ask("well", times=300) for each in frequent),
            self.strangers(),
            self.refused(guest, reviewer, editor),
            self.ended(leaver, lost),
            self.tool_trouble(frequent[0]),
            self.programs(),
        )
        await until(lambda: time.time() > began + 1)
        await self.frameio_trouble(short)
        left = TOTAL - len(self.crowd.planted) - self.crowd.nameless
        await asyncio.gather(
            *(each.ask("well", times=left // FREQUENT) for each in frequent),
            frequent[0].another().ask("well", times=left % FREQUENT),
        )

    async def signed_in(self, person: Person) -> Caller:
        """Somebody who signs in through the proxy's processes."""
        client = f"198.51.100.{self.crowd.number()}"
        async with self.turns, Visitor() as visitor:
            self.frameio.put_person(person)
            callback = await at_the_door(self.stage, visitor, person=person.name)
            entering = self.crowd.caller(client, visitor.cookie_line(self.stage.url), user=person.id)
            head = await entering.ask("signs in", callback.removeprefix(self.stage.url))
            entering.leave()
        [cookie] = re.findall(rb"Set-Cookie: (oauth_proxy=[^;]+)", head)
        return self.crowd.caller(client, f"Cookie: {cookie.decode()}", user=person.id)

    async def strangers(self) -> None:
        caller = self.crowd.caller
        editor = Identity(EDITOR.id, EDITOR.email, EDITOR.name)
        old = worn_out_cookie(self.stage.settings.session.keys[0], editor, time.time())
        async with self.turns, Visitor() as visitor:
            page = await visitor.follow(f"{self.stage.url}/echo")
            await visitor.press(page, "Guest")
            back = await visitor.press(await visitor.get(page.url), "Deny")
            unwilling = caller("192.0.2.9", visitor.cookie_line(self.stage.url))
            await unwilling.ask("says no", back.headers["Location"].removeprefix(self.stage.url))
        await asyncio.gather(
            caller("192.0.2.1").ask("no cookie", times=400),
            caller("192.0.2.2", *NAVIGATING).ask("on the way in", times=300),
            caller("192.0.2.3", f"Cookie: oauth_proxy=1.{'A' * 200}").ask("foreign", times=300),
            caller("192.0.2.4", old, user=EDITOR.id).ask("worn out", times=300),
            caller("192.0.2.5").ask("wrong host", host="10.0.0.9", times=200),
            caller("192.0.2.6").ask("nowhere", "/oauth2/nothing", times=100),
        )
        for _ in range(100):
            assert b" 400 " in await self.crowd.raw(b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n")

    async def refused(self, guest: Caller, reviewer: Caller, editor: Caller) -> None:
        await guest.ask("not allowed", times=200)
        await reviewer.ask("not for this tool", "/staff/", times=200)
        await editor.ask("well", "/", times=10)

    async def ended(self, leaver: Caller, lost: Caller) -> None:
        await leaver.ask("signs out", "/oauth2/sign_out", WANTED)
        await leaver.ask("signed out", times=200)
        await lost.ask("well")
        done = await control.end(load(self.proxies.file, {}), a_person(51).email)
        assert done.everywhere, done.sentences
        await lost.ask("revoked", times=200)

    async def tool_trouble(self, visitor: Caller) -> None:
        for kind, times in {"down": 200, "own": 100, "hangs up": 100, "nonsense": 50, "half": 50}.items():
            await visitor.another().ask(kind, f"/{kind.replace(' ', '_')}/", times=times)
        await asyncio.gather(*(visitor.another().ask("hang", "/hang/", times=3) for _ in range(20)))
        for _ in range(40):
            await visitor.another().give_up("gives up", "/slow/", self.tool)

    async def programs(self) -> None:
        for number in range(5):
            program = self.crowd.caller(f"203.0.113.{number}")
            for token in range(8):
                await program.ask("wrong token", "/", f"Authorization: Bearer wrong-{number}-{token}")
        guessing = self.crowd.caller("203.0.113.99")
        for token in range(30):
            await guessing.ask("wrong token" if token < 10 else "guesses", "/", f"Authorization: Bearer x-{token}")

    async def frameio_trouble(self, short: list[Caller]) -> None:
        slow, down, [ends], busy = short[:3], short[3:5], short[5:6], short[6:]
        faults, endpoint = self.frameio.faults, "token:refresh_token"
        faults.delay(endpoint, SLOW)
        await asyncio.gather(*(each.ask("frameio slow") for each in slow))
        faults.clear()
        faults.plan(endpoint, Fault.SERVER_ERROR)
        await asyncio.gather(*(each.ask("frameio down") for each in down))
        faults.plan(endpoint, Fault.INVALID_GRANT)
        await ends.ask("frameio ends it")
        faults.plan(endpoint, Fault.TOO_MANY_REQUESTS)
        for each in busy:
            await each.ask("frameio busy")
        faults.clear()


def a_person(number: int) -> Person:
    name = f"Visitor {number}"
    return replace(
        EDITOR, id=f"{EDITOR.id[:-4]}{number:04}", name=name, email=f"visitor-{number}@studio.example.com"
    )
