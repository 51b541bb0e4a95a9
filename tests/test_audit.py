"""The audit stream: each thing that an auditor asks about is one line, of one schema, whoever made it happen."""

import asyncio
import io
import json
import os
import pwd
import resource
import signal
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import ConfigDict, TypeAdapter, with_config

from oauth_proxy.commands import Command, operator_here
from oauth_proxy.demo.people import EDITOR, GUEST
from oauth_proxy.errors import ConfigurationError, MayPass
from oauth_proxy.identity import Identity, Session, Tokens
from oauth_proxy.settings import AuditTo, Log
from oauth_proxy.telemetry import Audit, AuditLine, audit_for
from oauth_proxy.telemetry import audit as module
from tests.support.browser import Visitor
from tests.support.command import said
from tests.support.descriptors import descriptors_left
from tests.support.login import issued_codes, issued_tokens
from tests.support.metrics import exposed
from tests.support.places import ROOT
from tests.support.processes import processes
from tests.support.proxy import SCRIPT, STUDIO, WANTED, a_secret, on_stage
from tests.support.sessions import signed_in
from tests.support.tool import until
from tests.support.tool_api import asked, handle_of, with_tool_api
from tests.support.units import HOUR
from tests.test_admin import told as obeyed

WITHOUT_MORE = TypeAdapter(with_config(ConfigDict(extra="forbid"))(AuditLine))
SOMEBODY = Session("s1", Identity("u1", "jo@studio.example.com"), Tokens("t", 0, 1), 0, 0)

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


@pytest.fixture
def lines(file: Path) -> Lines:
    """The lines so far. Each is as the schema says."""

    def read() -> list[dict[str, Any]]:
        text = file.read_text("utf-8")
        assert text.endswith("\n")
        for line in text.splitlines():
            WITHOUT_MORE.validate_json(line, strict=True)
        return [json.loads(line) for line in text.splitlines()]

    return read


def told(line: dict[str, Any], *keys: str) -> tuple[Any, ...]:
    return tuple(line.get(key) for key in keys)


def test_the_schema_that_is_documented_is_that_of_the_lines() -> None:
    documented = json.loads((ROOT / "config" / "audit-schema.json").read_text("utf-8"))
    assert documented == WITHOUT_MORE.json_schema()


async def test_a_session_is_followed_from_sign_in_to_sign_out_without_a_secret(
    file: Path, lines: Lines, visitor: Visitor
) -> None:
    async with on_stage(log={"audit": str(file)}, access=STUDIO) as stage:
        cookie = await signed_in(stage, visitor)
        answer = await stage.ask("/oauth2/sign_out", cookie, WANTED)
        await stage.ask("/x", *SCRIPT, cookie)
        secrets = issued_codes(stage) | issued_tokens(stage) | {*stage.keys}
    signed_in_line, signed_out, refused = lines()
    who = ("by", "user", "email", "client")
    assert signed_in_line["event"] == "sign_in"
    assert told(signed_in_line, *who) == ("visitor", EDITOR.id, EDITOR.email, "127.0.0.1")
    assert signed_out["event"] == "sign_out"
    assert told(signed_out, *who) == ("visitor", EDITOR.id, EDITOR.email, "127.0.0.1")
    assert signed_out["session"] == signed_in_line["session"]
    assert signed_out["request_id"] == answer.get("X-Request-Id")
    assert told(refused, "event", "by", "why") == ("refused_at_door", "visitor", "no session: an ended session")
    assert told(refused, "user", "session") == (EDITOR.id, signed_out["session"]), "the cookie tells whose it was"
    written = json.dumps(lines())
    assert not [secret for secret in secrets if secret in written]
    assert os.stat(file).st_mode & 0o007 == 0, "it has addresses of people"  # noqa: PTH116


async def test_a_refusal_by_a_rule_says_whom_and_which_rules(file: Path, lines: Lines, visitor: Visitor) -> None:
    async with on_stage(log={"audit": str(file)}, access=STUDIO) as stage:
        assert (await visitor.login(f"{stage.url}/echo", "Guest")).status == 403
    first, ended, refused = lines()
    assert told(first, "event", "user") == ("sign_in", GUEST.id)
    assert told(ended, "event", "by", "user") == ("session_ended", "proxy", GUEST.id)
    assert told(refused, "event", "user", "email") == ("refused_by_rule", GUEST.id, GUEST.email)
    assert refused["why"] == "no rule of access.allow fits: *@studio.example.com"


async def test_without_addresses_there_are_none(file: Path, lines: Lines, visitor: Visitor) -> None:
    async with on_stage(log={"audit": str(file), "email": "false"}) as stage:
        await signed_in(stage, visitor)
    assert [told(line, "event", "email") for line in lines()] == [("sign_in", None)]


async def test_who_ended_a_session_is_told_the_provider_and_the_operator(
    file: Path, lines: Lines, visitor: Visitor
) -> None:
    async with on_stage(log={"audit": str(file)}) as stage:
        cookie = await signed_in(stage, visitor)
        stage.frameio.grants[-1].revoked = True
        stage.clock.advance(HOUR)
        assert (await stage.ask("/x", *SCRIPT, cookie)).status == 401
        await obeyed(stage, Command.new("end", EDITOR.email, stage.clock.now, "jo@web1"))
        await obeyed(stage, Command.new("log-level", "info", stage.clock.now))
        await obeyed(stage, Command.new("end", "x", stage.clock.now, "\x1b[31m" + "j" * 5000))
    _, ended, refused, revoked, level, odd = lines()
    assert told(ended, "event", "by", "user") == ("session_ended", "provider", EDITOR.id)
    assert ended["why"]
    assert refused["why"] == "no session: an ended session"
    assert told(revoked, "event", "by", "subject", "operator") == ("revoke", "operator", EDITOR.email, "jo@web1")
    assert told(level, "event", "by", "subject", "operator") == ("log_level", "operator", "info", None)
    assert len(odd["operator"]) == 500


def test_an_operator_is_who_their_machine_says() -> None:
    here = f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"
    assert operator_here({}) == here
    assert operator_here({"SUDO_USER": "jo"}) == f"{here} (jo, by sudo)"
    assert len(operator_here({"SUDO_USER": "j" * 5000})) == 200


async def test_the_commands_line_says_who_runs_it_also_to_the_parent(
    tmp_path: Path, file: Path, lines: Lines
) -> None:
    async with processes(tmp_path, workers=2, log={"audit": str(file)}) as proxies:
        for arguments in (("reload",), ("log-level", "debug"), ("revoke", "--all")):
            command, *rest = arguments
            run = partial(said, command, proxies.file, *rest, environ={"SUDO_USER": "jo"})
            assert (await asyncio.to_thread(run)).returncode == 0
    assert [line["event"] for line in lines()] == ["reload", "log_level", "revoke"]
    assert {line["operator"] for line in lines()} == {operator_here({"SUDO_USER": "jo"})}


async def test_the_lifetime_s_end_of_what_is_open_is_a_line(file: Path, lines: Lines, visitor: Visitor) -> None:
    async with on_stage(log={"audit": str(file)}, session={"lifetime": "2h", "idle": "2h"}) as stage:
        cookie = await signed_in(stage, visitor)
        async with visitor.session.get(f"{stage.url}/feed", headers={"Accept": "text/event-stream"}) as feed:
            assert feed.status == 200
            stage.clock.advance(3 * HOUR)
            await stage.proxy.look()
            await stage.proxy.look()
        assert cookie
    [ended] = [line for line in lines() if line["event"] == "session_ended"]
    assert told(ended, "by", "why", "user") == ("proxy", "its lifetime has passed", EDITOR.id)


async def test_a_tool_that_takes_a_token_is_a_line_with_the_session(
    file: Path, lines: Lines, visitor: Visitor
) -> None:
    async with with_tool_api(log={"audit": str(file)}) as stage:
        handle = await handle_of(stage, await signed_in(stage, visitor))
        assert (await asked(stage, handle)).status == 200
        assert (await asked(stage, "nonsense")).status == 401
    first, given, refused = lines()
    assert told(given, "event", "by", "user") == ("token_given", "tool", EDITOR.id)
    assert given["session"] == first["session"]
    assert told(refused, "event", "by") == ("refused_at_door", "tool")


def test_what_strangers_can_cause_is_bounded_and_counted_and_hides_nobody_else(file: Path, lines: Lines) -> None:
    now = 100.0
    with file.open("a") as stream:
        audit = Audit(lambda line: print(line, end="", file=stream), clock=lambda: now)
        for _ in range(1000):
            audit.note("refused_at_door", "visitor", "no session: no cookie", client="192.0.2.1")
        audit.note("refused_at_door", "visitor", "no session: no cookie", client="192.0.2.2")
        for number in range(1000):
            audit.note("refused_at_door", "visitor", "no session: no cookie", client=f"198.51.100.{number}")
        audit.note("sign_in", "visitor", session=SOMEBODY)
        now += 30
        audit.note("refused_at_door", "visitor", "no session: no cookie", client="192.0.2.1")
    written = lines()
    assert len(written) == 100 + 2
    assert [line["client"] for line in written[:11]] == ["192.0.2.1"] * 10 + ["192.0.2.2"]
    assert written[-2]["event"] == "sign_in"
    assert written[-1]["held_back"] == 990


def test_a_rotated_file_is_left_and_a_new_one_begun(file: Path, lines: Lines) -> None:
    audit = audit_for(Log.model_construct(audit=AuditTo("file", file)), io.StringIO())
    audit.note("sign_in", "visitor", session=SOMEBODY)
    file.rename(file.with_suffix(".1"))
    audit.note("sign_out", "visitor", session=SOMEBODY)
    assert [line["event"] for line in lines()] == ["sign_out"]
    file.rename(file.with_suffix(".2"))
    audit.reopen()
    assert file.read_bytes() == b"", "the old one is let go"
    audit.close()


def test_a_file_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    nowhere = tmp_path / "not-there" / "audit.log"
    with pytest.raises(ConfigurationError, match=r"log.audit: .* cannot be written: No such file") as caught:
        audit_for(Log.model_construct(audit=AuditTo("file", nowhere)), io.StringIO())
    assert not isinstance(caught.value, MayPass)


def test_a_start_is_tried_again_where_there_are_too_many_open_files(file: Path) -> None:
    with descriptors_left(0), pytest.raises(MayPass, match=r"cannot be written: Too many open files"):
        audit_for(Log.model_construct(audit=AuditTo("file", file)), io.StringIO())


def test_a_full_disk_is_told_once_counted_and_over_when_it_is_over(
    file: Path, lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    file.symlink_to("/dev/full")
    audit = audit_for(Log.model_construct(audit=AuditTo("file", file)), io.StringIO())
    for _ in range(50):
        audit.note("sign_in", "visitor", session=SOMEBODY)
    assert (audit.lost, audit.trouble) == (50, "audit lines are lost: No space left on device")
    assert caplog.messages == [audit.trouble]
    file.unlink()
    audit.note("sign_out", "visitor", session=SOMEBODY)
    assert (audit.lost, audit.trouble) == (50, None)
    assert caplog.messages[1:] == ["the audit stream is written again; 50 lines were lost"]
    assert [line["event"] for line in lines()] == ["sign_out"]
    file.unlink()
    file.mkdir()
    audit.reopen()
    audit.note("sign_out", "visitor", session=SOMEBODY)
    assert audit.lost == 51
    assert caplog.messages[2:] == ["audit lines are lost: Is a directory"]
    audit.close()


def test_a_line_that_the_disk_took_by_half_spoils_no_other(file: Path) -> None:
    audit = audit_for(Log.model_construct(audit=AuditTo("file", file)), io.StringIO())
    audit.note("sign_in", "visitor", session=SOMEBODY)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 20, before[1]))
    try:
        audit.note("sign_in", "visitor", session=SOMEBODY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert audit.lost == 1
    audit.note("sign_out", "visitor", session=SOMEBODY)
    audit.close()
    first, torn, last = file.read_text().splitlines()
    assert [json.loads(line)["event"] for line in (first, last)] == ["sign_in", "sign_out"]
    assert len(torn) == 20


def test_a_pipe_that_nobody_reads_is_no_file_to_wait_for(file: Path) -> None:
    os.mkfifo(file)
    with pytest.raises(MayPass, match=r"log.audit: .* cannot be written: "):  # somebody may, later
        audit_for(Log.model_construct(audit=AuditTo("file", file)), io.StringIO())


async def test_lost_lines_are_a_metric_and_stand_in_readiness_and_the_proxy_goes_on(visitor: Visitor) -> None:
    async with on_stage(log={"audit": "/dev/full"}) as stage:
        answer = await visitor.login(f"{stage.url}/echo")
        assert answer.status == 200
        assert "\noauth_proxy_audit_lines_lost_total 1.0\n" in await exposed(stage.admin_url)
        async with visitor.session.get(f"{stage.admin_url}/readyz") as ready:
            assert ready.status == 200
            assert await ready.text() == "ready; audit lines are lost: No space left on device\n"


def test_to_standard_error_it_is_json_whatever_the_log_is() -> None:
    stream = io.StringIO()
    audit_for(Log.model_construct(audit=AuditTo("stderr"), email=None), stream).note("reload", "operator", "why")
    assert told(json.loads(stream.getvalue()), "event", "why") == ("reload", "why")


def test_to_syslog_each_line_is_a_datagram(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log.model_construct(audit=AuditTo("syslog"))
    monkeypatch.setattr(module, "SYSLOG", str(tmp_path / "log"))
    with pytest.raises(MayPass, match=r"log.audit: .*/log cannot be written: No such file"):
        audit_for(log, io.StringIO())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(tmp_path / "log"))
        audit = audit_for(log, io.StringIO())
        for _ in range(2000):  # nobody reads: most are lost, none is waited for
            audit.note("sign_in", "visitor", session=SOMEBODY)
        head, _, line = syslog.recv(4096).decode().partition(" ")
        audit.close()
    assert head == "<86>oauth-proxy:", "authpriv, info"
    assert json.loads(line)["event"] == "sign_in"


async def test_reloads_and_new_keys_are_lines_and_usr1_opens_the_file_of_every_worker(
    tmp_path: Path, file: Path, lines: Lines
) -> None:
    async with processes(tmp_path, workers=2, log={"audit": str(file)}) as proxies:
        stage = proxies.stage
        before = tmp_path / "audit.log.1"
        os.rename(file, before)  # noqa: PTH104
        os.kill(proxies.parent, signal.SIGUSR1)
        await until(file.exists)
        for _ in range(8):
            assert (await stage.ask("/x", *SCRIPT)).status == 401
        assert not os.stat(before).st_size  # noqa: PTH116
        proxies.write(session={"secret": [a_secret(), *stage.keys]})
        await proxies.reloaded("generation 2 serves")
        proxies.write(session={"secret": "x"})
        await proxies.reloaded("nothing is changed")
    *refused, reloaded, keys, failed = lines()
    assert [line["event"] for line in refused] == ["refused_at_door"] * 8
    assert told(reloaded, "event", "by", "why") == ("reload", "operator", "generation 2 serves")
    assert told(keys, "event", "why") == (
        "key_change",
        "session.secret: 1 before, 2 now, some of them are the same",
    )
    assert failed["event"] == "reload"
    assert failed["why"].startswith("refused: ")
