"""Assertions: what they say, by which key, for how long, and that a tool gets them with each visitor's request."""

import base64
import json
import sys
from dataclasses import replace
from itertools import takewhile
from typing import Any

import pytest
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError
from joserfc.jwk import KeySet

from oauth_proxy.assertions import LIFETIME, REMEMBERED_BYTES, Assertions
from oauth_proxy.demo.people import EDITOR
from oauth_proxy.identity import Identity, Session, Tokens
from tests.support.browser import Visitor
from tests.support.proxy import Clock, Stage, on_stage, replica
from tests.support.raw_http import Heard, Wire, wired
from tests.support.units import NOW

FIRST, SECOND = bytes(range(32)), bytes(range(32, 64))
ISSUER, RENDER = "https://review.example.com", "https://review.example.com/render/"
SESSION = Session(
    "session-1",
    Identity("u1", "a@b.example", "Ann", "acc"),
    Tokens("t0ken-of-frame-io", NOW, NOW + 3600),
    NOW,
    NOW,
)
HEADER = "X-Studio-Assertion"
HEADERS = {HEADER: "{assertion}", "X-Forwarded-User": "{id}"}


def assertions(*ring: bytes, clock: Clock | None = None) -> Assertions:
    return Assertions(ring or (FIRST,), ISSUER, (clock or Clock()).wall)


def read(assertion: str, keys: Any) -> dict[str, Any]:
    """What an assertion says, once it is verified by these published keys."""
    return jwt.decode(assertion, KeySet.import_key_set(keys), ["ES256"]).claims


def kid(assertion: str) -> str:
    head = assertion.partition(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(head + "=="))["kid"])


def test_it_says_who_for_whom_and_for_how_long_and_nothing_else() -> None:
    makes = assertions()
    claims = read(makes.of(SESSION, RENDER), makes.keys)
    assert len(claims.pop("jti")) >= 16
    assert claims == {
        "iss": ISSUER,
        "aud": RENDER,
        "sub": "u1",
        "email": "a@b.example",
        "name": "Ann",
        "account_id": "acc",
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + LIFETIME,
    }


def test_what_frame_io_does_not_tell_is_left_out_and_half_a_character_breaks_nothing() -> None:
    makes = assertions()
    odd = replace(SESSION, identity=Identity("u1", None, "Ann \udc80\r\n"))
    claims = read(makes.of(odd, RENDER), makes.keys)
    assert claims["name"] == "Ann ?"
    assert not {"email", "account_id"} & claims.keys()


def test_a_secret_has_the_same_key_in_every_process_and_version() -> None:
    # Replicas may be of two versions for a while: whoever changes this number signs what the others cannot verify.
    assert kid(assertions().of(SESSION, RENDER)) == "Va_J5IgTEfyniPzl5b49IYx_VahjDvMAZqCu1CIbgVk"


def test_the_first_secret_signs_and_all_are_published() -> None:
    old, turned = assertions(FIRST), assertions(SECOND, FIRST)
    before, after = old.of(SESSION, RENDER), turned.of(SESSION, RENDER)
    assert kid(before) != kid(after)
    assert read(before, turned.keys)["sub"] == read(after, turned.keys)["sub"] == "u1"
    with pytest.raises(InvalidKeyIdError):
        read(after, old.keys)


def test_one_signature_serves_until_half_of_its_life_is_over() -> None:
    clock = Clock()
    makes = assertions(clock=clock)
    first = makes.of(SESSION, RENDER)
    clock.advance(LIFETIME / 2 - 1)
    assert makes.of(SESSION, RENDER) == first
    clock.advance(1)
    second = makes.of(SESSION, RENDER)
    assert read(second, makes.keys)["exp"] == clock.now + LIFETIME
    clock.wrong = -LIFETIME  # somebody sets the clock back: one from the future would be good for nobody
    assert read(makes.of(SESSION, RENDER), makes.keys)["iat"] == clock.wall()


def test_another_address_another_session_and_another_profile_get_another_one() -> None:
    makes = assertions()
    known = makes.of(SESSION, RENDER)
    assert makes.of(SESSION, f"{ISSUER}/") != known
    assert makes.of(replace(SESSION, id="session-2"), RENDER) != known
    renamed = makes.of(replace(SESSION, identity=replace(SESSION.identity, email="c@b.example")), RENDER)
    assert read(renamed, makes.keys)["email"] == "c@b.example"


def test_what_is_remembered_is_bounded() -> None:
    makes = assertions()
    wordy = replace(SESSION, identity=replace(SESSION.identity, name="n" * 20_000))
    addresses = [f"https://host-{number}.example.com/" for number in range(250)]
    issued = {address: makes.of(wordy, address) for address in addresses}
    # From the newest back: what is not remembered is signed anew, and takes the place of the oldest.
    kept = list(takewhile(lambda address: makes.of(wordy, address) == issued[address], reversed(issued)))
    assert 100 < len(kept) < 250
    assert sum(sys.getsizeof(address) + sys.getsizeof(issued[address]) for address in kept) <= REMEMBERED_BYTES


async def signed_in(wire: Wire, visitor: Visitor) -> str:
    return (await wire.login(visitor)).cookie


async def heard(wire: Wire, *lines: str, target: str = "/page", host: str | None = None) -> Heard:
    assert (await wire.ask(target, *lines, host=host)).status == 200
    return wire.tool.heard[-1]


async def published(stage: Stage) -> Any:
    answer = await stage.ask("/oauth2/keys")
    assert answer.status == 200
    return json.loads(answer.body)


async def test_a_tool_gets_one_about_the_visitor_and_for_its_own_address(visitor: Visitor) -> None:
    async with wired(headers=HEADERS) as wire:
        request = await heard(wire, await signed_in(wire, visitor))
        [assertion] = request.all(HEADER)
        claims = read(assertion, await published(wire.stage))
        assert (claims["sub"], claims["email"]) == (request.all("X-Forwarded-User")[0], EDITOR.email)
        assert (claims["iss"], claims["aud"]) == (wire.origin, f"{wire.origin}/")
        tokens = wire.stage.frameio.issued("access")
        assert tokens
        assert not [token for token in tokens if token in json.dumps(claims) or token in assertion]


async def test_each_upstream_is_another_audience(visitor: Visitor) -> None:
    async with on_stage(upstreams={"/": "TOOL", "/render/": "TOOL"}, headers=HEADERS) as stage:
        await visitor.login(f"{stage.url}/")
        keys, audiences = await published(stage), []
        for path in ("/echo", "/render/echo"):
            lines = dict((await (await visitor.get(stage.url + path)).json())["headers"])
            audiences.append(read(lines[HEADER], keys)["aud"])
        assert audiences == [f"{stage.url}/", f"{stage.url}/render/"]


async def test_each_host_is_another_audience(visitor: Visitor) -> None:
    async with wired(
        public_url="https://review.example.com",
        headers=HEADERS,
        session={"cookie": {"domain": "example.com"}},
    ) as wire:
        cookie = await signed_in(wire, visitor)
        [first] = (await heard(wire, cookie, host="Cut.Example.com:443")).all(HEADER)
        [second] = (await heard(wire, cookie)).all(HEADER)
        keys = json.loads((await wire.ask("/oauth2/keys")).body)
        audiences = [read(assertion, keys)["aud"] for assertion in (first, second)]
        assert audiences == ["https://cut.example.com/", "https://review.example.com/"]
        assert {read(assertion, keys)["iss"] for assertion in (first, second)} == {"https://review.example.com"}


async def test_a_browser_that_repeats_its_lines_gets_a_younger_one_in_time(visitor: Visitor) -> None:
    async with wired(headers=HEADERS) as wire:
        cookie = await signed_in(wire, visitor)
        seen = []
        for _ in range(3):  # these lines and ours are remembered; the assertion among them must not be
            seen += (await heard(wire, cookie)).all(HEADER)
            seen += (await heard(wire, cookie)).all(HEADER)
            wire.stage.clock.advance(LIFETIME / 2)
        assert len(seen) == 6
        assert seen[0] == seen[1] != seen[2] == seen[3] != seen[4] == seen[5]


async def test_strangers_and_public_paths_get_none(visitor: Visitor) -> None:
    async with wired(headers=HEADERS) as wire:
        cookie = await signed_in(wire, visitor)
        for lines in ([], [cookie]):
            assert not (await heard(wire, f"{HEADER}: forged", *lines, target="/assets/a")).all(HEADER)


async def test_programs_with_a_token_of_their_own_get_one() -> None:
    async with wired(headers=HEADERS, access={"bearer": "true"}) as wire:
        token = wire.stage.frameio.developer_token(EDITOR)
        [assertion] = (await heard(wire, f"Authorization: Bearer {token}")).all(HEADER)
        assert read(assertion, await published(wire.stage))["email"] == EDITOR.email


async def test_the_keys_are_ours_and_may_be_cached_and_are_the_same_at_every_replica() -> None:
    async with on_stage(headers=HEADERS) as stage, replica(stage) as other:
        answers = [await each.ask("/oauth2/keys") for each in (stage, other)]
        for answer in answers:
            assert answer.get("X-OAuth-Proxy") == "answer"
            assert answer.get("Cache-Control") == "public, max-age=300"
            assert (answer.get("Content-Type") or "").startswith("application/jwk-set+json")
            assert not answer.all("Set-Cookie")
        assert answers[0].body == answers[1].body
        [key] = json.loads(answers[0].body)["keys"]
        assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
        assert (await stage.ask("/oauth2/keys", method="POST")).status == 405


async def test_where_no_header_has_one_there_are_no_keys() -> None:
    async with on_stage() as stage:
        assert await published(stage) == {"keys": []}
