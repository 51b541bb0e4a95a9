"""TLS of our own: which certificate a visitor gets, and files, processes and generations that change meanwhile."""

import asyncio
import logging
import signal
import ssl
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from oauth_proxy import tls
from oauth_proxy.errors import ConfigurationError
from oauth_proxy.settings import Tls
from tests.support.certificates import Authority, Visit, replace_link
from tests.support.command import started, written
from tests.support.metrics import metrics
from tests.support.proxy import Stage, free_port, on_stage
from tests.support.tool import until
from tests.support.units import PATIENCE

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "LOOK_EVERY", 0.02)


@asynccontextmanager
async def with_tls(setting: Any) -> AsyncIterator[Stage]:
    port = free_port()
    changes: dict[str, Any] = {"public_url": f"https://localhost:{port}", "listen": f"127.0.0.1:{port}"}
    async with on_stage(tls=setting, **changes) as stage:
        yield stage


async def seen(port: int, context: ssl.SSLContext, name: str | None = None) -> Visit:
    """A visit that is over: what was seen of it."""
    visit = await asyncio.to_thread(Visit, port, context, name)
    assert await asyncio.to_thread(visit.asks)
    visit.leaves()
    return visit


async def test_the_host_that_visitors_name_chooses_the_certificate(tmp_path: Path, authority: Authority) -> None:
    names = ("first.example.com", "*.example.com", "localhost"), ("second.example.com",), ("*.wild.example.com",)
    pairs = [authority.pair(tmp_path / f"{number}", *each) for number, each in enumerate(names)]
    context = authority.trusting()
    async with with_tls(pairs) as stage:
        for asked, given in {
            "localhost": 0,
            "first.example.com": 0,
            "other.example.com": 0,
            "second.example.com": 1,
            "SECOND.Example.COM": 1,
            "a.wild.example.com": 2,
            "xn--mnchen-3ya.wild.example.com": 2,
            "a.b.wild.example.com": 0,  # a wildcard is for one label
            "wild.example.com": 0,
            "unknown.example.org": 0,
            "*.wild": 0,
            None: 0,
        }.items():
            assert (await seen(stage.listens_on, context, asked)).names == list(names[given]), asked


async def test_an_address_is_no_server_name_and_gets_the_first_certificate(
    tmp_path: Path, authority: Authority
) -> None:
    pairs = [authority.pair(tmp_path / "a", "a.example.com"), authority.pair(tmp_path / "b", "127.0.0.1")]
    async with with_tls(pairs) as stage:
        assert (await seen(stage.listens_on, authority.trusting(), "127.0.0.1")).names == ["a.example.com"]


async def test_of_two_certificates_for_a_name_the_first_one_is_used(tmp_path: Path, authority: Authority) -> None:
    names = ["a.example.com"], ["b.example.com", "c.example.com"], ["c.example.com", "b.example.com"]
    pairs = [authority.pair(tmp_path / f"{number}", *each) for number, each in enumerate(names)]
    async with with_tls(pairs) as stage:
        assert (await seen(stage.listens_on, authority.trusting(), "c.example.com")).names == names[1]


async def test_min_version_is_what_visitors_speak_at_least_whatever_host_they_name(
    tmp_path: Path, authority: Authority
) -> None:
    first, second = authority.pair(tmp_path / "a", "localhost"), authority.pair(tmp_path / "b", "b.example.com")
    old, new = map(authority.trusting, VERSIONS)
    for name in ("localhost", "b.example.com"):
        async with with_tls([{**first, "min_version": "1.3"}, second]) as stage:
            await seen(stage.listens_on, new, name)
            with pytest.raises(ssl.SSLError):
                await seen(stage.listens_on, old, name)
        async with with_tls([first, second]) as stage:
            await seen(stage.listens_on, new, name)
            await seen(stage.listens_on, old, name)


@pytest.mark.usefixtures("often")
async def test_replaced_files_are_for_new_connections_while_open_ones_go_on(
    tmp_path: Path, authority: Authority
) -> None:
    context = authority.trusting()
    pairs = [authority.pair(tmp_path / "a", "localhost"), authority.pair(tmp_path / "b", "b.example.com")]
    async with with_tls(pairs) as stage:
        for stem, name in (("a", "localhost"), ("b", "b.example.com")):
            opened = await asyncio.to_thread(Visit, stage.listens_on, context, name)
            authority.write(tmp_path / stem, name, f"new.{name}")
            await until_served(stage.listens_on, context, name, [name, f"new.{name}"])
            assert (await seen(stage.listens_on, context, f"new.{name}")).names == [name, f"new.{name}"]
            assert await asyncio.to_thread(opened.asks)
            opened.leaves()


@pytest.mark.usefixtures("often")
async def test_a_folder_that_a_symlink_swaps_is_seen_as_kubernetes_does_it(
    tmp_path: Path, authority: Authority
) -> None:
    for folder, name in (("..1", "one.example.com"), ("..2", "two.example.com")):
        (tmp_path / folder).mkdir()
        authority.write(tmp_path / folder / "tls", name)
    (tmp_path / "..data").symlink_to("..1")
    for file in ("tls.crt", "tls.key"):
        (tmp_path / file).symlink_to(f"..data/{file}")
    context = authority.trusting()
    async with with_tls({"cert": str(tmp_path / "tls.crt"), "key": str(tmp_path / "tls.key")}) as stage:
        await until_served(stage.listens_on, context, None, ["one.example.com"])
        replace_link(tmp_path / "..data", "..2")
        await until_served(stage.listens_on, context, None, ["two.example.com"])


@pytest.mark.usefixtures("often")
async def test_a_certificate_without_its_key_is_not_used_before_the_key_is_there(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    context = authority.trusting()
    async with with_tls(authority.pair(tmp_path / "a", "localhost")) as stage:
        authority.write(tmp_path / "b", "new.example.com")
        (tmp_path / "b.crt").rename(tmp_path / "a.crt")
        await until(lambda: "the key is not that of the certificate" in caplog.text)
        assert (await seen(stage.listens_on, context)).names == ["localhost"]
        (tmp_path / "b.key").rename(tmp_path / "a.key")
        await until_served(stage.listens_on, context, None, ["new.example.com"])


async def until_served(port: int, context: ssl.SSLContext, name: str | None, names: list[str]) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await seen(port, context, name)).names != names:
            pass


def of(*stems: Path) -> list[Tls]:
    """Entries of the setting, unchecked."""
    return [Tls.model_construct(cert=stem.with_suffix(".crt"), key=stem.with_suffix(".key")) for stem in stems]


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged since the last time."""
    told = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return told


def test_each_state_of_the_files_is_told_once(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    stem = tmp_path / "a"
    cert, key = stem.with_suffix(".crt"), stem.with_suffix(".key")
    now = datetime(2026, 11, 29, tzinfo=UTC)
    many = [f"{letter}.example.com" for letter in "abcdefg"]
    authority.write(stem, *many, ends=now + timedelta(days=63, hours=1))
    ours = tls.ServerTls(of(stem), wall=now.timestamp)
    ours.used(tls.bare_context())
    shown = "a.example.com, b.example.com, c.example.com, d.example.com, e.example.com and 2 more"
    assert lines(caplog) == [f"{cert} is read, a certificate for {shown}, good for 63 days"]
    ours.look()
    assert lines(caplog) == []
    authority.write(tmp_path / "b", "b.example.com", ends=now + timedelta(days=90))
    (tmp_path / "b.crt").rename(cert)
    for _ in range(3):
        ours.look()
    stays = "; the certificate before it stays in use"
    assert lines(caplog) == [f"{cert}: the key is not that of the certificate{stays}"]
    key.unlink()
    for _ in range(3):
        ours.look()
    assert lines(caplog) == [f"{cert}: the file cannot be read: no such file or directory{stays}"]
    (tmp_path / "b.key").rename(key)
    for _ in range(3):
        ours.look()
    assert lines(caplog) == [f"{cert} is read, a certificate for b.example.com, good for 90 days"]
    authority.write(stem, "b.example.com", ends=now - timedelta(hours=1), begins=now - timedelta(days=9))
    ours.look()
    assert lines(caplog) == [f"{cert} is read, a certificate for b.example.com, and has expired"]


def test_a_pair_that_cannot_be_used_at_the_start_is_a_sentence(tmp_path: Path, authority: Authority) -> None:
    authority.write(tmp_path / "a", "localhost")
    authority.write(tmp_path / "b", "localhost")
    (tmp_path / "b.key").rename(tmp_path / "a.key")
    with pytest.raises(ConfigurationError) as caught:
        tls.ServerTls(of(tmp_path / "a"))
    assert caught.value.problems == [f"tls: {tmp_path / 'a.crt'}: the key is not that of the certificate"]


@asynccontextmanager
async def forked(*workers: Iterable[Path]) -> AsyncIterator[list[int]]:
    """Processes that were forked from one, each with certificates of its own; their ports."""
    ports = [free_port() for _ in workers]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.tls_workers"),
        *(f"{port}:{','.join(map(str, stems))}" for port, stems in zip(ports, workers, strict=True)),
        stdin=PIPE,
        stdout=PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            for _ in ports:
                assert await process.stdout.readline() == b"ready\n"
        yield ports
    finally:
        process.stdin.close()
        await process.wait()


async def resumed(ports: Iterable[int], context: ssl.SSLContext, name: str | None) -> list[bool | None]:
    """Visit one port after the other, each time with the session of the time before: was it resumed?"""
    found, session = [], None
    for port in ports:
        visit = await asyncio.to_thread(Visit, port, context, name, session)
        assert (await asyncio.to_thread(visit.asks)).startswith(b"HTTP/1.1 200")
        found.append(visit.resumed)
        session = visit.leaves()
    return found


@pytest.mark.parametrize("version", VERSIONS, ids=["TLS 1.2", "TLS 1.3"])
async def test_a_session_is_resumed_at_every_process_whatever_its_certificate(
    tmp_path: Path, authority: Authority, version: ssl.TLSVersion
) -> None:
    """One process is of a newer generation: it was started with renewed certificates."""
    context = authority.trusting(version)
    generations = [[tmp_path / "a1", tmp_path / "b1"], [tmp_path / "a2", tmp_path / "b2"]]
    for first, second in generations:
        authority.write(first, "a.example.com")
        authority.write(second, "b.example.com")
    async with forked(*generations, generations[0]) as ports:
        assert len({(await seen(port, context)).serial for port in ports}) == 2
        for name in ("a.example.com", "b.example.com", "unknown.example.com", None):
            assert await resumed([*ports, *ports], context, name) == [False] + [True] * 5, name


@pytest.mark.parametrize("version", VERSIONS, ids=["TLS 1.2", "TLS 1.3"])
async def test_a_session_is_resumed_at_the_workers_of_a_reloaded_proxy(
    tmp_path: Path, authority: Authority, version: ssl.TLSVersion
) -> None:
    """The reload turns one certificate into two. The worker that the ticket is from accepts nobody then."""
    context = authority.trusting(version)
    port = free_port()
    file = written(tmp_path, port=port)
    tree = yaml.safe_load(file.read_text())
    tree |= {"public_url": f"https://localhost:{port}", "workers": 2, "drain": "1s"}
    tree["tls"] = authority.pair(tmp_path / "a", "localhost")
    file.write_text(yaml.safe_dump(tree))
    async with started("run", file, sign=b"serving on") as process:
        visit = await asyncio.to_thread(Visit, port, context, "localhost")
        assert await asyncio.to_thread(visit.asks)
        session = visit.leaves()
        second = authority.pair(tmp_path / "b", "b.example.com")
        file.write_text(
            yaml.safe_dump({**tree, "tls": [authority.pair(tmp_path / "c", "localhost", "c"), second]})
        )
        process.send_signal(signal.SIGHUP)
        await until_served(port, context, "b.example.com", ["b.example.com"])
        for _ in range(8):  # the system chooses between two workers
            again = await asyncio.to_thread(Visit, port, context, "localhost", session)
            assert again.resumed
            assert await asyncio.to_thread(again.asks)
            again.leaves()
        assert (await seen(port, context, "localhost")).names == ["localhost", "c"]


@pytest.mark.parametrize("version", VERSIONS, ids=["TLS 1.2", "TLS 1.3"])
async def test_a_session_is_resumed_after_files_were_replaced(
    tmp_path: Path, authority: Authority, version: ssl.TLSVersion
) -> None:
    context = authority.trusting(version)
    stems = [tmp_path / "a", tmp_path / "b"]
    names = ["a.example.com", "b.example.com"]
    for stem, name in zip(stems, names, strict=True):
        authority.write(stem, name)
    async with forked(stems, stems) as ports:
        for stem, name in zip(stems, names, strict=True):
            visit = await asyncio.to_thread(Visit, ports[0], context, name)
            assert await asyncio.to_thread(visit.asks)
            session = visit.leaves()
            authority.write(stem, name, "new.example.com")
            for port in ports:
                await until_served(port, context, name, [name, "new.example.com"])
                again = await asyncio.to_thread(Visit, port, context, name, session)
                assert again.resumed
                assert await asyncio.to_thread(again.asks)
                again.leaves()


async def test_the_metrics_say_when_each_certificate_ends_also_once_it_is_renewed(
    tmp_path: Path, authority: Authority, often: None
) -> None:
    name = "oauth_proxy_certificate_expiry_timestamp_seconds"
    soon, later = (datetime.now(UTC).replace(microsecond=0) + timedelta(days=days) for days in (3, 90))
    pair = authority.pair(tmp_path / "a", "localhost")
    authority.write(tmp_path / "a", "localhost", ends=soon)
    async with with_tls([pair]) as stage:
        label = f'{name}{{file="{pair["cert"]}"}}'
        assert (await metrics(stage.admin_url))[label] == soon.timestamp()
        authority.write(tmp_path / "a", "localhost", ends=later)
        async with asyncio.timeout(PATIENCE):
            while (await metrics(stage.admin_url))[label] != later.timestamp():  # noqa: ASYNC110 it looks often
                await asyncio.sleep(0.02)
