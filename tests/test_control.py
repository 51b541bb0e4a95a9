"""`revoke` and `sessions`, as those who run a proxy meet them: who was asked, what was done, and how it fails."""

import asyncio
import json
import secrets
import socket
import time
from asyncio import StreamReader, StreamWriter
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from oauth_proxy import control
from oauth_proxy.commands import Inbox
from oauth_proxy.demo.people import EDITOR, REVIEWER
from oauth_proxy.errors import ConfigurationError
from oauth_proxy.identity import Seen
from oauth_proxy.memory import outside
from oauth_proxy.settings import Settings, parse
from tests.session.test_ended import refused, until
from tests.support.browser import Visitor
from tests.support.command import said_here
from tests.support.proxy import Clock, Stage, free_port, on_stage, settings_tree
from tests.support.redis import needs_redis, redis_server
from tests.support.sessions import signed_in
from tests.support.units import NOW
from tests.test_admin import Desk, channel, end, listening, posted

SITE = "http://localhost:4180"
JO = Seen("u-jo", "jo@studio.example.com", NOW, NOW + 600.5, 2)
UNCERTAIN = "It is not certain that anybody was signed out."

Said = tuple[int, str, str]


def described(
    folder: Path, admin: str, *, site: str = SITE, keys: Sequence[str] | None = None, store: str = "cookie"
) -> Path:
    """A file of a proxy whose admin listener is there."""
    nowhere = "http://127.0.0.1:9"
    keys = keys or [b64encode(secrets.token_bytes(32)).decode()]
    tree = settings_tree(site, "v2", nowhere, nowhere, client_secret=None, keys=keys)
    tree["admin"]["listen"] = admin
    tree["session"]["store"] = store
    file = folder / "proxy.yaml"
    file.write_text(yaml.safe_dump(tree))
    return file


def file_of(stage: Stage, folder: Path) -> Path:
    """A file that describes this stage."""
    store = str(stage.settings.session.store)
    return described(folder, str(stage.settings.admin.listen), site=stage.url, keys=stage.keys, store=store)


async def command(*arguments: str | Path) -> Said:
    """What the command ends with and says."""
    done = await asyncio.to_thread(said_here, *arguments)
    return done.returncode, done.stdout, done.stderr


@asynccontextmanager
async def commanded(**changes: Any) -> AsyncIterator[Stage]:
    """A stage with the time of day, which commands have too, and an admin listener with a port of its own."""
    changes.setdefault("admin", {"listen": f"127.0.0.1:{free_port()}"})
    async with on_stage(clock=Clock(time.time() - 5), **changes) as stage:
        yield stage


@asynccontextmanager
async def somebody_else(answer: Callable[[StreamReader, StreamWriter], Awaitable[None]]) -> AsyncIterator[str]:
    """Something that is no proxy listens; where it does."""

    async def answering(reader: StreamReader, writer: StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answering, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.fixture
def no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing may be written to the store, or read from it."""

    async def touched(*_: object) -> None:
        pytest.fail("the store was used")

    monkeypatch.setattr(outside, "end_user", touched)
    monkeypatch.setattr(outside, "seen", touched)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """A store that knows Jo, and whose sessions were ended in it."""
    ended: list[str | None] = []

    async def end_user(_: Settings, user: str | None) -> None:
        ended.append(user)

    async def seen(_: Settings) -> list[Seen]:
        return [JO]

    monkeypatch.setattr(outside, "end_user", end_user)
    monkeypatch.setattr(outside, "seen", seen)
    return ended


def settings_of(file: Path) -> Settings:
    return parse(file.read_text(), filename=file.name, environ={}, folder=file.parent)


async def failure(file: Path, asked: str = "end") -> list[str]:
    """The sentences with which it fails."""
    with pytest.raises(ConfigurationError) as raised:
        await (control.end(settings_of(file), None) if asked == "end" else control.seen(settings_of(file)))
    return raised.value.problems


@pytest.mark.parametrize("admin", ["127.0.0.1:PORT", "0.0.0.0:PORT", "localhost:PORT", "unix:FOLDER/admin.sock"])
async def test_the_proxy_that_runs_signs_somebody_out_and_the_command_says_so(
    visitor: Visitor, tmp_path: Path, admin: str
) -> None:
    admin = admin.replace("PORT", str(free_port())).replace("FOLDER", str(tmp_path))
    async with commanded(admin={"listen": admin}) as stage, Visitor() as other:
        cookie, theirs = await signed_in(stage, visitor), await signed_in(stage, other, "Reviewer")
        file = file_of(stage, tmp_path)
        assert await command("revoke", file, "--user", "Editor@Studio.example.com") == (
            0,
            f"The proxy at {admin} has ended all sessions of Editor@Studio.example.com. "
            "It forgets that when it stops, because there is no session.store.\n",
            "",
        )
        assert await refused(stage, cookie)
        assert not await refused(stage, theirs)


async def test_everybody_is_signed_out_at_once(visitor: Visitor, tmp_path: Path) -> None:
    async with commanded() as stage, Visitor() as other:
        cookies = [await signed_in(stage, visitor), await signed_in(stage, other, "Reviewer")]
        code, told, _ = await command("revoke", file_of(stage, tmp_path), "--all")
        assert (code, told.partition(". ")[0]) == (
            0,
            f"The proxy at {stage.settings.admin.listen} has ended all sessions",
        )
        for cookie in cookies:
            assert await refused(stage, cookie)


async def test_a_name_that_nobody_has_is_doubted(visitor: Visitor, tmp_path: Path) -> None:
    async with commanded() as stage:
        cookie = await signed_in(stage, visitor)
        code, told, _ = await command("revoke", file_of(stage, tmp_path), "--user", "editor@studo.example.com")
        assert code == 0
        assert "It has seen nobody of that name so far: is it spelled right?" in told
        assert not await refused(stage, cookie)


async def test_who_is_signed_in_is_a_table_for_people_and_json_for_machines(
    visitor: Visitor, tmp_path: Path
) -> None:
    async with commanded() as stage, Visitor() as other:
        file = file_of(stage, tmp_path)
        source = f"This is what the proxy at {stage.settings.admin.listen} knows.\n"
        assert await command("sessions", file) == (0, f"Nobody is known to be signed in. {source}", "")
        assert await command("sessions", file, "--json") == (0, "[]\n", "")
        stamp = f"{datetime.fromtimestamp(stage.clock.now, UTC):%Y-%m-%dT%H:%M:%SZ}"
        await signed_in(stage, visitor)
        stage.clock.advance(2)
        await signed_in(stage, other, "Reviewer")
        code, table, _ = await command("sessions", file)
        assert code == 0
        first, *rows, last = table.splitlines(keepends=True)
        assert first.split() == ["ID", "EMAIL", "SINCE", "LAST", "SEEN", "CONNECTIONS"]
        assert [row.split()[0] for row in rows] == [REVIEWER.id, EDITOR.id]
        assert len({line.rindex(stamp[:10]) for line in rows} | {first.index("LAST SEEN")}) == 1
        assert last == source
        code, told, _ = await command("sessions", file, "--json")
        assert code == 0
        assert json.loads(told)[1] == {
            "id": EDITOR.id,
            "email": EDITOR.email,
            "since": stamp,
            "last_seen": stamp,
            "connections": 0,
        }


async def test_no_name_moves_or_hides_what_stands_beside_it(tmp_path: Path) -> None:
    evil = Seen("u-1\x1b[2J\r\n\x9b", "jo\u202e@x.example\udcff\u200b", 0.0, 0.0)
    key = secrets.token_bytes(32)
    async with listening(Desk(evil, JO), Inbox([key], SITE, time.time)) as url:
        file = described(tmp_path, url.removeprefix("http://"), keys=[b64encode(key).decode()])
        code, table, _ = await command("sessions", file)
        assert code == 0
        _, jo, row, _ = table.splitlines()
        assert row.split()[:2] == [r"u-1\x1b[2J\r\n\x9b", r"jo\u202e@x.example\udcff\u200b"]
        assert jo.split() == [JO.id, JO.email, "2027-01-15T08:00:00Z", "2027-01-15T08:10:00Z", "2"]
        code, told, _ = await command("sessions", file, "--json")
        assert code == 0
        assert told.isascii()
        assert json.loads(told)[1]["email"] == evil.email


async def test_whom_an_answer_has_no_room_for_is_counted(tmp_path: Path) -> None:
    key = secrets.token_bytes(32)
    async with listening(Desk(Seen("x" * 2_000_000, None, 0.0, 0.0)), Inbox([key], SITE, time.time)) as url:
        file = described(tmp_path, url.removeprefix("http://"), keys=[b64encode(key).decode()])
        code, told, doubt = await command("sessions", file, "--json")
    assert (code, told, doubt) == (0, "[]\n", "1 more, seen longer ago, are left out.\n")


@needs_redis
async def test_a_proxy_with_a_store_tells_it_and_where_that_fails_the_command_says_so_and_ends_with_1(
    visitor: Visitor, tmp_path: Path
) -> None:
    async with redis_server() as redis, commanded(session={"store": redis.url}) as stage:
        cookie, file = await signed_in(stage, visitor), file_of(stage, tmp_path)
        done = f"The proxy at {stage.settings.admin.listen} has ended all sessions of {EDITOR.id}."
        assert await command("revoke", file, "--user", EDITOR.id) == (
            0,
            f"{done} {redis.url} is told: it holds after a restart, and replicas learn of it within a second.\n",
            "",
        )
        assert await refused(stage, cookie)
        await redis.kill()
        code, told, _ = await command("revoke", file, "--user", EDITOR.id)
        assert code == 1
        assert told.startswith(f"{done} But {redis.url} could not be told, and will be later: ")


@needs_redis
@pytest.mark.parametrize("gone", ["port", "socket", "dead socket"])
async def test_where_no_proxy_runs_the_store_is_told(visitor: Visitor, tmp_path: Path, gone: str) -> None:
    async with redis_server() as redis:
        elsewhere = f"unix:{tmp_path}/admin.sock"
        if gone == "dead socket":
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(f"{tmp_path}/admin.sock")
        admin = f"127.0.0.1:{free_port()}" if gone == "port" else elsewhere
        async with commanded(session={"store": redis.url}) as stage:
            cookie = await signed_in(stage, visitor)
            file = described(tmp_path, admin, site=stage.url, keys=stage.keys, store=redis.url)
            assert await command("revoke", file, "--user", str(EDITOR.email)) == (
                0,
                f"No proxy runs at {admin}. It is written to {redis.url} that all sessions of {EDITOR.email} have "
                "ended: that holds from the next start on, and proxies that run with this store learn of it "
                "within a second.\n",
                "",
            )
            await until(partial(refused, stage, cookie))


async def test_where_no_proxy_runs_the_store_is_read(store: list[str | None], tmp_path: Path) -> None:
    admin = f"127.0.0.1:{free_port()}"
    roll = await control.seen(settings_of(described(tmp_path, admin, store="redis://127.0.0.1:9/0")))
    assert control.rows(roll)[0]["connections"] is None
    *_, row, source = control.table(roll).splitlines()
    assert row.split() == [JO.id, JO.email, "2027-01-15T08:00:00Z", "2027-01-15T08:10:00Z", "-"]
    assert source == f"No proxy runs at {admin}. This is what redis://127.0.0.1:9/0 knows."


@pytest.mark.parametrize("asked", ["revoke", "sessions"])
async def test_where_no_proxy_runs_and_there_is_no_store_it_fails(tmp_path: Path, asked: str) -> None:
    admin = f"127.0.0.1:{free_port()}"
    file = described(tmp_path, admin)
    code, told, why = await command(asked, file, *(["--all"] if asked == "revoke" else []))
    assert (code, told) == (2, "")
    assert why.startswith(f"No proxy runs at {admin}, and there is no session.store to ")
    assert len(why.splitlines()) == 1


async def test_a_port_that_nobody_knows_cannot_be_asked(store: list[str | None], tmp_path: Path) -> None:
    [why] = await failure(described(tmp_path, "127.0.0.1:0"))
    reason = "admin.listen is 127.0.0.1:0, any free port, so a proxy that runs cannot be asked"
    assert why.startswith(f"{reason}, and there is no session.store")
    done = await control.end(settings_of(described(tmp_path, "127.0.0.1:0", store="redis://127.0.0.1:9/0")), "jo")
    assert done.sentences.startswith(f"{reason}. It is written to redis://127.0.0.1:9/0 that all sessions of jo ")
    assert store == ["jo"]


async def silent(reader: StreamReader, _: StreamWriter) -> None:
    await reader.read()


async def dripping(_: StreamReader, writer: StreamWriter) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nX-" + b"x" * 10_000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.02)


async def hanging_up(reader: StreamReader, _: StreamWriter) -> None:
    await reader.readline()


async def talking(text: bytes, reader: StreamReader, writer: StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(text)
    await writer.drain()


async def endless(reader: StreamReader, writer: StreamWriter) -> None:
    await talking(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", reader, writer)
    for _ in range(1000):
        await talking_on(writer)


async def talking_on(writer: StreamWriter) -> None:
    writer.write(b"x" * 65_536)
    await writer.drain()


def answering(
    status: str, body: bytes = b"", *lines: str
) -> Callable[[StreamReader, StreamWriter], Awaitable[None]]:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines, "", ""])
    return partial(talking, head.encode() + body)


LATE = "whoever listens at {at} has not answered within "
STRANGE = "whoever listens at {at} does not answer as a proxy does: "
FOREIGN = "whoever listens at {at} does not take this file's commands"
UNPROVEN = (
    "whoever listens at {at} answered {status} without proof of knowing session.secret: it is not this proxy"
)


@pytest.mark.usefixtures("no_store")
@pytest.mark.parametrize("asked", ["end", "seen"])
@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (silent, LATE),
        (dripping, LATE),
        (hanging_up, STRANGE),
        (partial(talking, b"220 ESMTP\r\n"), STRANGE),
        (endless, STRANGE),
        (answering("401 Unauthorized"), FOREIGN),
        (answering("200 OK", b"has ended all sessions"), UNPROVEN.replace("{status}", "200")),
        (answering("200 OK"), UNPROVEN.replace("{status}", "200")),
        (answering("204 No Content"), UNPROVEN.replace("{status}", "204")),
        (answering("405 Method Not Allowed"), UNPROVEN.replace("{status}", "405")),
        (
            answering("307 Elsewhere", b"", "Location: http://127.0.0.1:9/command"),
            UNPROVEN.replace("{status}", "307"),
        ),
    ],
)
async def test_whoever_listens_there_and_is_not_the_proxy_is_not_believed_and_the_store_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: str, answer: Any, sentence: str
) -> None:
    monkeypatch.setattr(control, "DEADLINE", 0.5 if sentence == LATE else 60.0)
    async with somebody_else(answer) as at:
        first, *rest = await failure(described(tmp_path, at, store="redis://127.0.0.1:9/0"), asked)
    assert first.startswith(sentence.format(at=at))
    assert rest == ([UNCERTAIN] if asked == "end" else [])


@pytest.mark.usefixtures("no_store")
async def test_an_answer_that_was_heard_before_is_not_believed(tmp_path: Path) -> None:
    async with on_stage(clock=Clock(time.time())) as stage:
        _, old = await posted(stage.admin_url, channel(stage).seal(end(stage)))
        async with somebody_else(answering("200 OK", old.encode())) as at:
            first, _ = await failure(described(tmp_path, at, site=stage.url, keys=stage.keys))
    assert first == UNPROVEN.format(at=at, status=200)


@pytest.mark.usefixtures("no_store")
@pytest.mark.parametrize("differs", ["secret", "site"])
async def test_another_proxy_does_not_take_the_command(visitor: Visitor, tmp_path: Path, differs: str) -> None:
    async with commanded() as stage:
        cookie, at = await signed_in(stage, visitor), str(stage.settings.admin.listen)
        site, keys = (stage.url, None) if differs == "secret" else (SITE, stage.keys)
        file = described(tmp_path, at, site=site, keys=keys, store="redis://127.0.0.1:9/0")
        first, second = await failure(file)
        assert first.startswith(FOREIGN.format(at=at))
        assert second == UNCERTAIN
        code, told, why = await command("revoke", file, "--all")
        assert (code, told, why) == (2, "", f"{first}\n{second}\n")
        assert not await refused(stage, cookie)


@pytest.mark.usefixtures("no_store")
@pytest.mark.parametrize(("ready", "takes"), [(False, 0.0), (True, 60.0)])
async def test_a_proxy_that_stops_or_hangs_has_not_done_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ready: bool, takes: float
) -> None:
    monkeypatch.setattr("oauth_proxy.admin.DEADLINE", 0.2)
    key, desk = secrets.token_bytes(32), Desk(takes=takes)
    async with listening(desk, Inbox([key], SITE, time.time), ready=ready) as url:
        at = url.removeprefix("http://")
        file = described(tmp_path, at, keys=[b64encode(key).decode()], store="redis://127.0.0.1:9/0")
        reason = "it could not do that within 0.2 s" if ready else "it is stopping"
        assert await failure(file) == [f"the proxy at {at} refuses: {reason}. Run this again shortly", UNCERTAIN]
    assert desk.ended == []


@pytest.mark.usefixtures("no_store")
async def test_a_socket_that_cannot_be_reached_is_not_taken_for_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    at = f"unix:{tmp_path}/file/admin.sock"
    first, second = await failure(described(tmp_path, at, store="redis://127.0.0.1:9/0"))
    assert (first, second) == (f"the proxy at {at} cannot be asked: Not a directory", UNCERTAIN)


@pytest.mark.parametrize(
    ("in_the_file", "at_the_proxy"),
    [(["new", "old"], ["old"]), (["old"], ["new", "old"]), (["new", "old"], ["newer", "new"])],
    ids=["the proxy has an older file", "the command has an older file", "both have moved on"],
)
async def test_while_keys_rotate_one_key_in_common_is_enough(
    tmp_path: Path, in_the_file: list[str], at_the_proxy: list[str]
) -> None:
    keys = {name: secrets.token_bytes(32) for name in ("newer", "new", "old")}
    desk = Desk(JO)
    async with listening(desk, Inbox([keys[name] for name in at_the_proxy], SITE, time.time)) as url:
        written = [b64encode(keys[name]).decode() for name in in_the_file]
        settings = settings_of(described(tmp_path, url.removeprefix("http://"), keys=written))
        assert (await control.end(settings, "u-jo")).everywhere
        assert (await control.seen(settings)).people == [JO]
    assert desk.ended == ["u-jo"]


async def test_what_a_squatter_took_down_does_nothing_once_the_proxy_is_back(tmp_path: Path) -> None:
    key, desk, taken = secrets.token_bytes(32), Desk(), []

    async def taking(reader: StreamReader, writer: StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        taken.append(await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0])))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")

    async with somebody_else(taking) as at:
        await failure(described(tmp_path, at, keys=[b64encode(key).decode()]))
    async with listening(desk, Inbox([key], SITE, time.time)) as url:
        assert [await posted(url, text) for text in taken] == [(401, "")]
    assert desk.ended == []
