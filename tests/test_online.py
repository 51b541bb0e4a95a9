"""The command `check --online`: what it finds at an emulated Frame.io, at tools, on this machine."""

import asyncio
import os
import pty
import re
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from oauth_proxy.clock import Clock as Ours
from oauth_proxy.demo.faults import Fault
from oauth_proxy.demo.frameio import FrameIO
from oauth_proxy.demo.people import Api, App
from oauth_proxy.identity import Identity, Session, Tokens
from oauth_proxy.memory import memory_for
from oauth_proxy.online import Finding, checked, findings
from oauth_proxy.settings import Settings, parse
from tests.support.certificates import Authority
from tests.support.command import COMMAND, needs_root, said
from tests.support.processes import MachineClock
from tests.support.proxy import SECRET, Clock, a_secret, free_port, on_stage, serving, settings_tree
from tests.support.redis import needs_redis, redis_server

SITE = "http://localhost"


@dataclass
class Scene:
    """An emulated Frame.io, a tool, and the file of a proxy that does not run."""

    frameio: FrameIO
    frameio_url: str
    tool_url: str
    tree: dict[str, Any]
    told: list[Finding] = field(default_factory=list)
    waited: list[list[str]] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)

    def settings(self) -> Settings:
        return parse(yaml.safe_dump(self.tree), filename="scene.yaml", environ=self.environ, folder=Path.cwd())

    async def find(self, clock: Clock | None = None) -> bool:
        """Check everything; whether it is well."""
        self.told.clear()
        return await checked(
            self.settings(),
            self.told.append,
            lambda subjects: self.waited.append([*subjects]),
            clock or MachineClock(),
        )

    def of(self, subject: str) -> Finding:
        """The one finding whose subject begins like this."""
        found = [each for each in self.told if each.subject.startswith(subject)]
        assert len(found) == 1, (subject, self.told)
        return found[0]

    def wrong(self) -> list[str]:
        """The subjects of what is wrong."""
        return [each.subject for each in self.told if not each.is_well]


async def nobody(_: web.BaseRequest) -> web.StreamResponse:
    raise AssertionError("nobody asks a server whose certificate is not trusted")


async def ok(_: web.Request) -> web.Response:
    return web.Response()


@asynccontextmanager
async def scene(api: Api = "v2", client_secret: str | None = SECRET, **changes: Any) -> AsyncIterator[Scene]:
    """A scene in which all is well, but for the `changes` of whole keys; `frameio` is merged."""
    emulator = FrameIO(MachineClock())
    tool = web.Application()
    tool.router.add_route("*", "/{path:.*}", ok)
    async with serving(emulator.app()) as frameio_url, serving(tool) as tool_url:
        site = f"{SITE}:{free_port()}"
        emulator.register(App("studio", client_secret, (f"{site}/oauth2/callback",), api=api))
        tree = settings_tree(site, api, frameio_url, tool_url, client_secret=client_secret, keys=[a_secret()])
        tree["admin"] = {"listen": f"127.0.0.1:{free_port()}"}
        tree["frameio"] |= changes.pop("frameio", {})
        yield Scene(emulator, frameio_url, tool_url, tree | changes)


@pytest.mark.parametrize(("api", "secret"), [("v2", SECRET), ("v2", None), ("v4", SECRET), ("v4", None)])
async def test_where_all_is_well_nobody_is_signed_in_and_nothing_is_wrong(api: Api, secret: str | None) -> None:
    async with scene(api, secret) as here:
        assert await here.find(), here.told
        assert not here.wrong()
        for subject in ("127.0.0.1:", "clock", "sign-in page", "app's", "API", "tool of /"):
            here.of(subject)
        assert len([each for each in here.told if each.subject.startswith("listener")]) == 2
        assert (here.frameio.grants, here.frameio.calls["token"], here.frameio.calls["authorize"]) == ([], 1, 1)
        assert here.waited[0][-1] == "listeners"
        assert here.waited[-1] == []


async def test_a_wrong_client_id_is_found_before_anybody_signs_in() -> None:
    async with scene(frameio={"client_id": "another"}) as here:
        assert not await here.find()
        assert here.wrong() == ["sign-in page", "app's credentials"]
        assert here.of("sign-in page").means == "refuses this app: 401."
        assert "invalid_client" in here.of("app's").means


@pytest.mark.parametrize("api", ["v2", "v4"])
async def test_a_wrong_secret_is_told_from_a_wrong_code_and_is_not_shown(api: Api) -> None:
    async with scene(api, frameio={"client_secret": "not-the-right-one"}) as here:
        assert not await here.find()
        assert here.wrong() == ["app's credentials"]
        assert "invalid_client" in here.of("app's").means
        assert "client_secret" in here.of("app's").advice
        assert "not-the-right-one" not in repr(here.told)


async def test_an_app_that_has_a_secret_is_no_pkce_app() -> None:
    async with scene() as here:
        del here.tree["frameio"]["client_secret"]
        assert not await here.find()
        assert "the missing client_secret" in here.of("app's").advice


async def test_a_redirect_uri_that_is_not_registered_is_found_where_the_server_tells() -> None:
    async with scene() as here:
        here.tree["public_url"] = here.tree["public_url"].replace("localhost", "127.0.0.1")
        assert not await here.find()
        assert here.wrong() == ["sign-in page"]
        assert f"{here.tree['public_url']}/oauth2/callback registered" in here.of("sign-in page").advice


async def test_where_adobe_does_not_tell_of_the_redirect_uri_that_is_said() -> None:
    async with scene("v4") as here:
        here.tree["public_url"] = here.tree["public_url"].replace("localhost", "127.0.0.1")
        assert await here.find()
        assert "does not say here whether the redirect URI is registered" in here.of("sign-in page").means


async def test_a_scope_that_frame_io_does_not_know_is_found() -> None:
    async with scene(frameio={"scopes": ["offline", "everything"]}) as here:
        assert not await here.find()
        assert "invalid_scope" in here.of("sign-in page").means


@pytest.mark.parametrize(
    ("fault", "means"),
    [
        (Fault.SERVER_ERROR, "cannot be tried"),
        (Fault.TOO_MANY_REQUESTS, "cannot be tried"),
        (Fault.DISCONNECT, "cannot be tried"),
        (Fault.HTML, "got an odd answer"),
        (Fault.ECHO, "got an odd answer"),
        (Fault.NO_ACCESS_TOKEN, "got an odd answer"),
    ],
)
async def test_a_token_endpoint_in_trouble_is_no_wrong_secret_and_repeats_none(fault: Fault, means: str) -> None:
    async with scene() as here:
        here.frameio.faults.plan("token", fault)
        assert not await here.find()
        assert here.wrong() == ["app's credentials"]
        assert here.of("app's").means.startswith(means)
        assert SECRET not in repr(here.told)


async def test_an_api_url_that_leads_elsewhere_is_found() -> None:
    async with scene() as here:
        here.tree["frameio"]["api_url"] = here.tool_url
        assert not await here.find()
        assert here.wrong() == ["API"]


async def test_a_host_of_frame_io_that_is_not_reached_is_one_line() -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    where = {"token_url": f"{nowhere}/token", "api_url": nowhere, "authorize_url": "https://frameio.invalid/auth"}
    async with scene(frameio=where) as here:
        del here.tree["frameio"]["revoke_url"]
        assert not await here.find()
        assert here.wrong() == ["frameio.invalid", nowhere.removeprefix("http://")]
        assert here.of("frameio.invalid").means.startswith("is not found in DNS: ")
        assert "frameio.authorize_url" in here.of("frameio.invalid").advice


async def test_what_is_reached_through_a_proxy_only_is_checked_through_it() -> None:
    async with scene() as here:
        for key in ("authorize_url", "token_url", "api_url", "revoke_url"):
            url = here.tree["frameio"][key]
            here.tree["frameio"][key] = url.replace(here.frameio_url, "http://frameio.invalid")
        here.environ["HTTP_PROXY"] = here.frameio_url  # takes what is asked of any host for its own
        assert await here.find(), here.told
        here.environ["HTTP_PROXY"] = f"http://127.0.0.1:{free_port()}"
        assert not await here.find()
        assert here.wrong() == ["frameio.invalid"]
        assert here.of("frameio.invalid").means.startswith("is not reached through the proxy of HTTPS_PROXY: ")


async def test_a_certificate_that_nobody_knows_is_found(tmp_path: Path) -> None:
    Authority().write(tmp_path / "own", "localhost")
    async with scene() as here:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(tmp_path / "own.crt", tmp_path / "own.key")
        runner = web.ServerRunner(web.Server(nobody), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port := free_port(), ssl_context=tls).start()
        for key in ("authorize_url", "token_url", "api_url", "revoke_url"):
            here.tree["frameio"][key] = f"https://localhost:{port}"
        assert not await here.find()
        await runner.cleanup()
        [host] = here.wrong()
        assert here.of(host).means.startswith("has a certificate that is not trusted: ")


@pytest.mark.parametrize(("wrong", "how"), [(3600.0, "s ahead of that of"), (-90.0, "s behind that of")])
async def test_a_clock_that_is_wrong_is_found(wrong: float, how: str) -> None:
    async with scene() as here:
        assert not await here.find(Clock(time.time() + wrong))
        assert here.wrong() == ["clock"]
        assert how in here.of("clock").means


@pytest.mark.parametrize(
    ("url", "means"),
    [
        ("http://127.0.0.1:PORT", "is not reached: "),
        ("http://tool.invalid:3000", "is not reached: "),
        ("unix:/nowhere/tool.sock", "is not reached: "),
        ("https://127.0.0.1:HTTP", "is not reached: "),
    ],
)
async def test_a_tool_that_is_not_there_is_found(url: str, means: str) -> None:
    async with scene() as here:
        url = url.replace("PORT", str(free_port())).replace("HTTP", here.tool_url.rpartition(":")[2])
        here.tree["upstreams"] = {"/": here.tool_url, "/other/": url}
        assert not await here.find()
        assert here.wrong() == ["tool of /other/"]
        assert here.of("tool of /other/").means.startswith(means)
        assert "upstreams./other/" in here.of("tool of /other/").advice


async def test_a_tool_that_answers_never_is_given_up_while_all_else_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(findings, "DEADLINE", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with scene() as here:
            here.tree["upstreams"]["/silent/"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
            assert not await here.find()
            assert here.wrong() == ["tool of /silent/"]
            assert "within 1 s" in here.of("tool of /silent/").means


async def test_an_upstream_that_is_the_proxy_itself_is_found() -> None:
    async with scene() as here:
        port, admin = here.tree["public_url"].rpartition(":")[2], here.tree["admin"]["listen"]
        here.tree["upstreams"] = {
            "/": here.tool_url,
            "/listen/": f"http://localhost:{port}/x",
            "/admin/": f"http://{admin}",
            "/tool-api/": f"http://127.0.0.1:{(tools := free_port())}",
        }
        here.tree["tool_api"] = {"listen": f"127.0.0.1:{tools}"}
        here.tree["listen"] = f"0.0.0.0:{port}"
        here.tree["upstreams"]["/by-address/"] = f"http://127.0.0.1:{port}"
        assert not await here.find()
        assert here.wrong() == [f"tool of /{each}/" for each in ("admin", "by-address", "listen", "tool-api")]
        assert here.of("tool of /by-address/").means.endswith(" is listen.")
        assert here.of("tool of /listen/").means.startswith("is the proxy itself: ")
        assert here.of("tool of /admin/").means.endswith(" is admin.listen.")


async def test_an_upstream_that_leads_back_through_something_in_front_is_found() -> None:
    async with on_stage(clock=MachineClock()) as stage, scene() as here:
        here.tree["upstreams"]["/round/"] = stage.url.replace("localhost", "127.0.0.1")
        assert not await here.find()
        assert here.wrong() == ["tool of /round/"]
        assert here.of("tool of /round/").means.startswith("is an oauth-proxy: ")


async def test_a_port_that_is_taken_is_found_unless_by_the_proxy_of_this_file(tmp_path: Path) -> None:
    sock = tmp_path / "taken.sock"
    with socket.create_server(("127.0.0.1", 0)) as other, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(sock))
        unix.listen()
        async with scene() as here:
            here.tree["listen"] = f"127.0.0.1:{other.getsockname()[1]}"
            here.tree["tool_api"] = {"listen": f"unix:{sock}"}
            assert not await here.find()
            assert [each.split(" ")[0] for each in here.wrong()] == ["listener", "listener"]
    admin = f"127.0.0.1:{free_port()}"
    async with on_stage(clock=MachineClock(), admin={"listen": admin}) as stage:
        told: list[Finding] = []
        assert await checked(stage.settings, told.append), told
        taken = [each for each in told if "taken by the proxy that runs" in each.means]
        assert [each.subject for each in taken] == [
            f"listener {stage.settings.listen} (public)",
            f"listener {admin} (admin)",
        ]


async def test_a_store_is_tried_and_one_that_is_not_there_yet_is_not_made(tmp_path: Path) -> None:
    file = tmp_path / "sessions.db"
    async with scene() as here:
        here.tree["session"]["store"] = f"sqlite:{file}"
        assert await here.find(), here.told
        assert here.of("store").means == "is not there yet, and can be made."
        assert not file.exists()
        file.symlink_to(tmp_path / "nowhere" / "sessions.db")
        assert not await here.find()
        assert here.of("store").means == f"cannot be made: {tmp_path}/nowhere cannot be written to."
        file.unlink()
        with sqlite3.connect(file) as database:
            database.execute("PRAGMA application_id = 1330660952")
            database.execute("PRAGMA user_version = 99")
        assert not await here.find()
        assert "a newer version of the proxy wrote it" in here.of("store").means
        here.tree["session"]["store"] = f"redis://:the-password@127.0.0.1:{free_port()}/0"
        assert not await here.find()
        assert re.fullmatch(r"is not reached: .*[^.]\.", here.of("store").means)
        assert "the-password" not in repr(here.told)


def shell(command: str) -> None:
    subprocess.run(command, shell=True, check=True, stderr=subprocess.DEVNULL)  # noqa: S602 a test's own words


async def kept(here: Scene, *, ends: bool = True) -> None:
    """A proxy of this configuration has seen somebody, and has signed somebody else out."""
    memory = memory_for(here.settings(), Ours())
    await memory.follow()
    now = time.time()
    session = Session("an-id", Identity("u-jo"), Tokens("a-token", now, now + 3600), now, now)
    await memory.remember(session)
    await memory.note(session, now)
    if ends:
        await memory.end_user("somebody-else")
    assert memory.trouble is None, memory.cause
    await memory.close()


@needs_redis
@pytest.mark.parametrize("kind", ["sqlite", "redis"])
async def test_records_of_another_version_or_secret_are_found_and_none_is_written(
    kind: str, tmp_path: Path
) -> None:
    async with scene() as here, redis_server() as redis:
        store = redis.url if kind == "redis" else f"sqlite:{tmp_path}/sessions.db"
        here.tree["session"]["store"] = store
        await kept(here)
        assert await here.find(), here.told
        assert here.of("store").means == (
            "can be read and written, and 3 records were looked at: they are of this version and secret."
        )
        ours = here.tree["session"]["secret"]
        here.tree["session"]["secret"] = a_secret()
        for _ in range(2):  # what another secret's proxy asks leaves nothing behind
            assert not await here.find()
            assert here.of("store").means == "has 3 of 3 records by another session.secret."
        here.tree["session"]["secret"] = [here.tree["session"]["secret"], *ours]
        assert await here.find(), "a secret that is being replaced still opens them"
        with pytest.MonkeyPatch.context() as another_version:
            another_version.setattr("oauth_proxy.memory.records._VERSION", 99)
            await kept(here, ends=False)
        assert not await here.find()
        assert re.fullmatch(r"has 1 of [34] records by another version of the proxy\.", here.of("store").means)


@needs_redis
async def test_a_redis_that_would_forget_and_one_that_does_not_say_are_told_apart() -> None:
    policy = ("--maxmemory-policy", "allkeys-lru")
    async with scene() as here, redis_server(*policy) as redis:
        here.tree["session"]["store"] = redis.url
        assert not await here.find()
        assert here.of("store").means == (
            "forgets sign-outs when its memory is full: maxmemory-policy is allkeys-lru."
        )
        async with redis.client() as client:
            await client.execute_command("ACL", "SETUSER", "default", "-info")
        assert await here.find(), here.told
        assert here.of("store").means == "can be read and written, and is empty."


async def test_a_file_on_a_file_system_of_the_network_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path.stat().st_dev  # noqa: ASYNC240 a folder of the test's own
    mounts = tmp_path / "mountinfo"
    where = f"{os.major(device)}:{os.minor(device)}"
    for kind, is_told in (("ext4", False), ("nfs4", True), ("fuse.sshfs", True), ("fuse.lxcfs", False)):
        mounts.write_text(f"1 0 0:0 / / rw - ext4 /dev/x rw\n2 1 {where} / /x rw shared:1 - {kind} a:/b rw\n")
        monkeypatch.setattr("oauth_proxy.memory.place._MOUNTS", mounts)
        async with scene() as here:
            here.tree["session"]["store"] = f"sqlite:{tmp_path}/sessions.db"
            for _ in range(2):
                assert await here.find() is not is_told, here.told
                if is_told:
                    assert here.of("store").means.startswith(f"lies on a network's file system ({kind}), ")
                await kept(here)
        (tmp_path / "sessions.db").unlink()


@needs_root
async def test_a_disk_that_is_full_or_read_only_under_store_and_audit_is_found(tmp_path: Path) -> None:
    (disk := tmp_path / "disk").mkdir()
    shell(f"mount -t tmpfs -o size=4m,mode=700 tmpfs {disk}")
    try:
        async with scene() as here:
            here.tree |= {"log": {"audit": f"{disk}/audit.log"}}
            here.tree["session"]["store"] = f"sqlite:{disk}/sessions.db"
            assert await here.find(), here.told
            assert here.of("audit").means == "is not there yet, and can be made."
            assert not list(disk.iterdir())
            for _ in ("not there yet", "there"):
                shell(f"! head -c 8M /dev/zero > {disk}/filling")
                assert not await here.find()
                assert [each.split()[0] for each in here.wrong()] == ["store", "audit"]
                for subject in ("store", "audit"):
                    assert here.of(subject).means == "lies on a disk with hardly any room: 0 KiB are left."
                (disk / "filling").unlink()
                await kept(here)
                (disk / "audit.log").touch()
            assert await here.find(), here.told
            assert here.of("audit").means == "can be written."
            shell(f"mount -o remount,ro {disk}")
            assert not await here.find()
            assert here.of("audit").means == "cannot be written."
    finally:
        shell(f"umount -l {disk}")


async def test_an_audit_stream_to_a_syslog_that_is_not_there_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oauth_proxy.online.audit.SYSLOG", f"{tmp_path}/log")
    async with scene() as here:
        here.tree["log"] = {"audit": "syslog"}
        assert not await here.find()
        assert here.of("audit syslog").means == "cannot be written: No such file or directory."
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
            syslog.bind(f"{tmp_path}/log")
            assert await here.find(), here.told
        here.tree["log"] = {"audit": "stderr"}
        assert await here.find(), here.told
        assert not [each for each in here.told if each.subject.startswith("audit")]


@pytest.mark.parametrize(
    ("names", "begins", "days", "means"),
    [
        (["review.example.com"], 0, 80, "goes with its key, is for review.example.com, and good for 79 days."),
        (["*.example.com"], -80, 2, "ends in 1 days"),
        (["review.example.com"], -80, -2, "expired on "),
        (["review.example.com"], 2, 80, "is not valid before "),
        (["other.example.com"], 0, 80, "none is for review.example.com"),
    ],
)
async def test_a_certificates_names_and_days_are_told(
    names: list[str], begins: int, days: int, means: str, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    since, until = now + timedelta(days=begins), now + timedelta(days=days)
    Authority().write(tmp_path / "tls", *names, begins=since, ends=until)
    async with scene() as here:
        here.tree |= {
            "public_url": "https://review.example.com",
            "tls": {"cert": f"{tmp_path}/tls.crt", "key": f"{tmp_path}/tls.key"},
        }
        here.frameio.register(App("studio", SECRET, ("https://review.example.com/oauth2/callback",)))
        is_well = await here.find()
        assert is_well is means.startswith("goes"), here.told
        assert [each for each in here.told if each.subject.startswith("cert") and each.means.startswith(means)]


def command(tree: Mapping[str, Any], folder: Path) -> list[str]:
    """The command for this file."""
    (folder / "proxy.yaml").write_text(yaml.safe_dump(tree))
    return ["check", "--online", str(folder / "proxy.yaml")]


async def test_the_command_ends_with_1_if_something_is_wrong_and_shows_no_secret(tmp_path: Path) -> None:
    async with scene() as here:
        done = await asyncio.to_thread(said, *command(here.tree, tmp_path))
        assert (done.returncode, done.stderr) == (0, "")
        assert all(line.startswith("\N{CHECK MARK} ") for line in done.stdout.splitlines())
        here.tree["upstreams"]["/"] = f"http://127.0.0.1:{free_port()}"
        plain = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        done = await asyncio.to_thread(said, *command(here.tree, tmp_path), environ=plain)
        assert done.returncode == 1
        [wrong] = [line for line in done.stdout.splitlines() if line.startswith("WRONG: ")]
        assert wrong.startswith("WRONG: tool of / is not reached: ")
        assert "\x1b" not in done.stdout + done.stderr
        for each in (SECRET, *here.tree["session"]["secret"]):
            assert each not in done.stdout + done.stderr


async def test_a_terminal_shows_what_is_waited_for(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    async with scene() as here:
        here.frameio.faults.plan("token", Fault.HANG)
        process = await asyncio.create_subprocess_exec(
            *COMMAND, *command(here.tree, tmp_path), stdout=subprocess.DEVNULL, stderr=slave
        )
        async with asyncio.timeout(60):
            await here.frameio.faults.hanging(1)
            here.frameio.faults.clear()
            assert await process.wait() == 0
    os.close(slave)
    shown = os.read(master, 65536).decode()
    os.close(master)
    assert "... waiting for " in shown
    assert "app's credentials" in shown
    assert shown.endswith("\r\x1b[K")


def test_a_name_server_that_never_answers_does_not_keep_the_command_from_ending(tmp_path: Path) -> None:
    tree = settings_tree(
        f"{SITE}:{free_port()}",
        "v2",
        "http://frameio.invalid",
        "unix:/nowhere",
        client_secret=SECRET,
        keys=[a_secret()],
    )
    lines = [
        "import socket, sys, time",
        "from oauth_proxy.cli import main",
        "from oauth_proxy.online import findings, frameio",
        "socket.getaddrinfo = lambda *where, **how: time.sleep(600)",
        "frameio.PATIENCE, findings.DEADLINE = 0.2, 1.0",
        "main()",
    ]
    command_line = [sys.executable, "-c", "; ".join(lines), *command(tree, tmp_path)]
    done = subprocess.run(command_line, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 ours
    assert (done.returncode, done.stderr) == (1, "")
    assert "frameio.invalid is not reached: no answer in time." in done.stdout
