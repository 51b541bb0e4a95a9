"""Commands at the admin listener: whoever has the secret is obeyed, once; nobody else learns or ends anything."""

import asyncio
import base64
import io
import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import websockets
from aiohttp import ClientSession, web

from oauth_proxy import admin
from oauth_proxy.admin import Admin
from oauth_proxy.commands import LONGEST_COMMAND, Channel, Command, Inbox
from oauth_proxy.demo.people import EDITOR
from oauth_proxy.identity import Seen
from oauth_proxy.siblings import Alone
from tests.session.test_ended import closes, refused
from tests.support.browser import Visitor
from tests.support.configuration import SITE
from tests.support.login import complaints
from tests.support.proxy import Stage, on_stage, serving
from tests.support.sessions import signed_in
from tests.support.units import PATIENCE


def channel(stage: Stage) -> Channel:
    """What the command line speaks with that has this stage's file."""
    return Channel(stage.settings.session.keys[0], stage.settings.public_url)


def end(stage: Stage, user: str | None = None, late: float = 0.0) -> Command:
    return Command.new("end", user, stage.clock.now - late)


async def posted(url: str, body: Any) -> tuple[int, str]:
    async with ClientSession() as http, http.post(f"{url}/command", data=body) as answer:
        return answer.status, await answer.text()


async def told(stage: Stage, command: Command) -> dict[str, Any]:
    """The answer to a command that is obeyed, or refused by a proxy that has the secret too."""
    status, text = await posted(stage.admin_url, channel(stage).seal(command))
    assert status == 200
    return channel(stage).open_reply(command, text)


class Well:
    """A memory that is well."""

    trouble: str | None = None


class Desk:
    """A desk of a proxy that is somewhere else."""

    def __init__(self, *people: Seen, untold: str | None = None, takes: float = 0.0) -> None:
        self.people, self.untold, self.takes = people, untold, takes
        self.ended: list[str | None] = []

    async def end_user(self, user: str | None) -> str | None:
        await asyncio.sleep(self.takes)
        self.ended.append(user)
        return self.untold

    async def seen(self) -> list[Seen]:
        return list(self.people)

    async def is_first(self, nonce: str) -> bool:
        return True


@asynccontextmanager
async def listening(desk: Desk, inbox: Inbox, *, ready: bool = True) -> AsyncIterator[str]:
    """An admin listener in front of that desk; its URL."""
    async with serving(web.Server(Admin(lambda: ready, Well(), Well(), desk, inbox, Alone()).handle)) as url:
        yield url


async def test_a_command_ends_all_sessions_of_one_and_cuts_their_sockets(stage: Stage, visitor: Visitor) -> None:
    cookie = await signed_in(stage, visitor)
    async with Visitor() as other:
        theirs = await signed_in(stage, other, "Reviewer")
    headers = {"Cookie": cookie.removeprefix("Cookie: ")}
    async with websockets.connect(f"ws://localhost:{stage.port}/clock", additional_headers=headers) as socket:
        await socket.recv()
        assert await told(stage, end(stage, "Editor@Studio.example.com")) == {"untold": None, "known": True}
        with pytest.raises(websockets.ConnectionClosedError):
            await closes(socket)
    assert await refused(stage, cookie)
    assert not await refused(stage, theirs)
    assert await told(stage, end(stage)) == {"untold": None, "known": True}
    assert await refused(stage, theirs)
    stage.clock.advance(1)
    async with Visitor() as again:
        assert not await refused(stage, await signed_in(stage, again))


async def test_a_name_that_nobody_has_ends_nobody_and_that_is_told(stage: Stage, visitor: Visitor) -> None:
    cookie = await signed_in(stage, visitor)
    assert await told(stage, end(stage, "editor@studo.example.com")) == {"untold": None, "known": False}
    for pattern in ("*", "everybody", "*@studio.example.com", "", " "):
        assert await told(stage, end(stage, pattern)) == {"untold": None, "known": False}
    assert not await refused(stage, cookie)
    assert await told(stage, end(stage, EDITOR.id.upper())) == {"untold": None, "known": True}


async def test_who_was_seen_is_told_with_no_token_and_no_session_id(stage: Stage, visitor: Visitor) -> None:
    cookie = await signed_in(stage, visitor)
    headers = {"Cookie": cookie.removeprefix("Cookie: ")}
    async with websockets.connect(f"ws://localhost:{stage.port}/clock", additional_headers=headers) as socket:
        await socket.recv()
        answer = await told(stage, Command.new("seen", None, stage.clock.now))
    [person] = answer["people"]
    now = stage.clock.now
    assert person == {
        "id": EDITOR.id,
        "email": EDITOR.email,
        "since": now,
        "last_seen": now,
        "connections": 1,
    }
    assert answer["more"] == 0


WRONG: dict[str, Callable[[Stage], Any]] = {
    "nothing": lambda stage: b"",
    "garbage": lambda stage: os.urandom(200),
    "text": lambda stage: "x" * 200,
    "not ASCII": lambda stage: "é" * 200,
    "the plain command": lambda stage: b'{"name": "end", "user": null}',
    "a sealed text cut short": lambda stage: channel(stage).seal(end(stage))[:-4],
    "a wrong key": lambda stage: Channel(secrets.token_bytes(32), stage.settings.public_url).seal(end(stage)),
    "another site": lambda stage: Channel(stage.settings.session.keys[0], SITE).seal(end(stage)),
    "an old time": lambda stage: channel(stage).seal(end(stage, late=61)),
    "a time to come": lambda stage: channel(stage).seal(end(stage, late=-61)),
    "too much": lambda stage: b"x" * (LONGEST_COMMAND + 1),
    "far too much": lambda stage: io.BytesIO(b"x" * 10_000_000),
    "a good one and too much": lambda stage: channel(stage).seal(end(stage)) + "=" * LONGEST_COMMAND,
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_whoever_has_not_the_secret_is_told_nothing_and_ends_nobody(
    stage: Stage, visitor: Visitor, caplog: pytest.LogCaptureFixture, wrong: str
) -> None:
    cookie = await signed_in(stage, visitor)
    body = WRONG[wrong](stage)
    assert await posted(stage.admin_url, body) == (401, "")
    assert not await refused(stage, cookie)
    [line] = complaints(caplog)
    assert "a command was refused" in line


async def test_a_command_is_obeyed_once_and_not_again_after_a_restart(visitor: Visitor) -> None:
    async with on_stage() as stage:
        text = channel(stage).seal(end(stage))
        assert (await posted(stage.admin_url, text))[0] == 200
        stage.clock.advance(1)
        cookie = await signed_in(stage, visitor)
        assert await posted(stage.admin_url, text) == (401, "")
        assert not await refused(stage, cookie)
        assert (await posted(stage.admin_url, channel(stage).seal(end(stage, EDITOR.id))))[0] == 200
        assert await refused(stage, cookie)
        keys, url, clock = stage.keys, stage.url, stage.clock
    clock.advance(5)
    async with on_stage(session={"secret": keys}, public_url=url, clock=clock) as restarted:
        assert await posted(restarted.admin_url, text) == (401, "")
        assert await told(restarted, end(restarted)) == {"untold": None, "known": True}


async def test_an_answer_is_read_by_whoever_asked_only() -> None:
    keys = [secrets.token_bytes(32)]
    desk = Desk(Seen("the-id-of-jo", "jo@studio.example.com", 0.0, 0.0))
    async with listening(desk, Inbox(keys, SITE, lambda: 0.0)) as url:
        command = Command.new("seen", None, 0.0)
        _, text = await posted(url, Channel(keys[0], SITE).seal(command))
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    assert not [each for each in (b"the-id-of-jo", b"jo@", b"studio") if each in raw or each.decode() in text]
    assert Channel(keys[0], SITE).open_reply(command, text)["people"][0]["id"] == "the-id-of-jo"


@pytest.mark.parametrize("name", ["", "End", "stop", "__init__"])
async def test_a_command_that_is_not_known_is_refused(stage: Stage, visitor: Visitor, name: str) -> None:
    cookie = await signed_in(stage, visitor)
    answer = await told(stage, Command.new(name, None, stage.clock.now))
    assert answer == {"refused": "it does not know this command"}
    assert not await refused(stage, cookie)


async def test_commands_are_posted_to_one_address_and_nothing_else_is(stage: Stage) -> None:
    async with ClientSession() as http:
        for method, path, allowed in (
            ("GET", "/command", "POST"),
            ("HEAD", "/command", "POST"),
            ("PUT", "/command", "POST"),
            ("POST", "/metrics", "GET, HEAD"),
            ("POST", "/", "GET, HEAD"),
        ):
            async with http.request(method, stage.admin_url + path) as answer:
                assert (answer.status, answer.headers["Allow"]) == (405, allowed), (method, path)
    command = channel(stage).seal(end(stage))
    public = await stage.ask("/command", method="POST", body=command.encode())
    assert public.status == 401
    assert public.get("X-OAuth-Proxy"), "the public listener knows no commands, only visitors"
    assert (await posted(stage.admin_url, command))[0] == 200, "and has not heard this one"


async def test_a_proxy_that_stops_takes_no_commands() -> None:
    keys, desk = [secrets.token_bytes(32)], Desk()
    async with listening(desk, Inbox(keys, SITE, lambda: 0.0), ready=False) as url:
        command = Command.new("end", None, 0.0)
        _, text = await posted(url, Channel(keys[0], SITE).seal(command))
    assert Channel(keys[0], SITE).open_reply(command, text) == {"refused": "it is stopping"}
    assert desk.ended == []


async def test_a_command_that_takes_too_long_is_not_said_to_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "DEADLINE", 0.2)
    keys, desk = [secrets.token_bytes(32)], Desk(takes=PATIENCE)
    async with listening(desk, Inbox(keys, SITE, lambda: 0.0)) as url:
        command = Command.new("end", None, 0.0)
        _, text = await posted(url, Channel(keys[0], SITE).seal(command))
    assert Channel(keys[0], SITE).open_reply(command, text) == {"refused": "it could not do that within 0.2 s"}


async def test_a_fault_of_ours_is_told_under_seal_and_its_traceback_is_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Desk):
        async def end_user(self, user: str | None) -> str | None:
            raise ZeroDivisionError("secret detail")

    keys = [secrets.token_bytes(32)]
    async with listening(Broken(), Inbox(keys, SITE, lambda: 0.0)) as url:
        command = Command.new("end", None, 0.0)
        status, text = await posted(url, Channel(keys[0], SITE).seal(command))
    assert status == 200
    assert Channel(keys[0], SITE).open_reply(command, text) == {"refused": "it failed, and its log says why"}
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("breaks_off", [True, False])
async def test_a_command_that_never_comes_whole_is_waited_for_no_longer_than_the_deadline(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, breaks_off: bool
) -> None:
    monkeypatch.setattr(admin, "DEADLINE", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(stage.admin_url.rpartition(":")[2]))
    writer.write(b"POST /command HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
    if breaks_off:
        writer.close()
    else:
        async with asyncio.timeout(PATIENCE):
            assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
        writer.close()
    assert await told(stage, end(stage)) == {"untold": None, "known": True}
    assert not [record for record in caplog.records if record.levelno > logging.WARNING]


async def test_a_command_is_logged_with_whom_it_was_about(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await told(stage, end(stage, "jo@studio.example.com\n2030-01-01 forged"))
    await told(stage, end(stage))
    lines = [record.getMessage() for record in caplog.records if record.name == "oauth_proxy.admin"]
    assert len(lines) == 2
    assert lines[1] == "a command ended all sessions of everybody"
