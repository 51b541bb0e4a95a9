"""Names that strangers ask for in a TLS handshake: they choose among our certificates, and do nothing else."""

import asyncio
import logging
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from textwrap import dedent

import pytest

from tests.hostile.test_heads import sent, strangers
from tests.support.certificates import Authority, Visit
from tests.support.proxy import free_port
from tests.support.raw_http import Wire, wired
from tests.support.tool import until

MARK = "zzzzzzzzzzzzzzzz"


def hello(name: bytes) -> bytes:
    """The first packet of a visitor who asks for this name, at most as long as MARK."""
    sends = ssl.MemoryBIO()
    visitor = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), sends, server_hostname=MARK)
    with pytest.raises(ssl.SSLWantReadError):
        visitor.do_handshake()
    return sends.read().replace(MARK.encode(), name.ljust(len(MARK), b"z"))


@pytest.fixture
async def secure(tmp_path: Path, authority: Authority) -> AsyncIterator[Wire]:
    """A proxy with two certificates."""
    port = free_port()
    url, listen = f"https://localhost:{port}", f"127.0.0.1:{port}"
    pairs = [authority.pair(tmp_path / "a", "localhost"), authority.pair(tmp_path / "b", "b.example.com")]
    async with wired(public_url=url, listen=listen, tls=pairs) as wire:
        yield wire


NAMES = {
    "no ASCII": b"\xff\xfe.example",
    "a line of the log": b"\n2026-01-01 ERROR",
    "a terminal's escape": b"\x1b[2J\x1b[31m",
    "a NUL in it": b"localhost\x00.evil",
    "dots": b"................",
    "a path": b"../../etc/passwd",
    "a wildcard": b"*.example.com",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
async def test_a_server_name_that_is_none_writes_nothing_and_disturbs_nobody(
    secure: Wire,
    authority: Authority,
    name: bytes,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    packet = hello(name)
    async with strangers(secure, 5) as sockets:
        for each in sockets:
            await sent(each, packet)
        for each in sockets:
            assert (await asyncio.get_running_loop().sock_recv(each, 1)) in (b"\x16", b"\x15", b"")
    await until(lambda: secure.stage.proxy.capacity.open == 0)
    visit = await asyncio.to_thread(Visit, secure.stage.listens_on, authority.trusting(), "b.example.com")
    assert visit.names == ["b.example.com"]
    visit.leaves()
    assert not [each for each in caplog.records if each.name.startswith("oauth_proxy")]
    assert capfd.readouterr() == ("", "")


def test_other_errors_that_nobody_can_raise_are_still_written() -> None:
    """What keeps such names off standard error keeps nothing else off it."""
    program = """
        import sys
        from oauth_proxy.tls import WithoutNames

        sys.unraisablehook = WithoutNames(sys.unraisablehook)

        class Broken:
            def __del__(self):
                raise ZeroDivisionError

        Broken()
    """
    done = subprocess.run([sys.executable, "-c", dedent(program)], capture_output=True, text=True, check=True)  # noqa: S603
    assert "ZeroDivisionError" in done.stderr
