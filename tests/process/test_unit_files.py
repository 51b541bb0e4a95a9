"""The units of config/, as systemd's own tool reads them, and what they promise of the proxy."""

import ctypes
import re
import shutil
import stat
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

from oauth_proxy.process.handed import NAMES
from oauth_proxy.process.parent import OVERTIME
from oauth_proxy.settings import Settings
from tests.support.command import written
from tests.support.configuration import file, read
from tests.support.proxy import free_port
from tests.support.systemd import unit

CONFIG = Path(__file__).parents[2] / "config"
SERVICE, SOCKET = CONFIG / "oauth-proxy.service", CONFIG / "oauth-proxy.socket"
ANALYZE = shutil.which("systemd-analyze") or ""
needs_systemd = pytest.mark.skipif(not ANALYZE, reason="systemd-analyze is not installed")
UNITS = Path("/usr/lib/systemd/system")
"""What systemd brings: the targets that our units name."""
SINCE_NOTIFY_RELOAD = 253
_PR_SET_MDWE, _PR_GET_MDWE = 65, 66
REFUSES_CODE = "import ctypes; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)"
"""MemoryDenyWriteExecute=: no memory becomes code that was written before (prctl(2), Linux 6.3)."""


def analyzed(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ANALYZE, *arguments], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603


def known_to(text: str) -> str:
    """The unit with the line that an old systemd needs, in place of the one that it says it does not know."""
    version = int(re.findall(r"\d+", analyzed("--version").stdout)[0])
    if version >= SINCE_NOTIFY_RELOAD:
        return text
    return text.replace("Type=notify-reload\n", "").replace("#ExecReload", "ExecReload")


def section(path: Path, name: str) -> dict[str, str]:
    """The lines of a section; of those that stand twice, the last."""
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path, "utf-8")
    return dict(parser[name])


def defaults() -> Settings:
    return read(file())


@needs_systemd
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    installed = tmp_path / "etc/systemd/system"
    installed.mkdir(parents=True)
    shutil.copytree(UNITS, tmp_path / UNITS.relative_to("/"), symlinks=True)
    for each in (SERVICE, SOCKET):
        (installed / each.name).write_text(known_to(each.read_text("utf-8")), "utf-8")
    for command in (tmp_path / "opt/oauth-proxy/bin/oauth-proxy", tmp_path / "bin/kill"):
        command.parent.mkdir(parents=True)
        command.write_text("#!/bin/sh\n")
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
    done = analyzed("verify", f"--root={tmp_path}", "--man=no", SERVICE.name, SOCKET.name)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    (installed / SERVICE.name).write_text(SERVICE.read_text("utf-8").replace("Restart=always", "Restart=perhaps"))
    assert "restart specifier" in analyzed("verify", f"--root={tmp_path}", "--man=no", SERVICE.name).stderr, (
        "it looks"
    )


@needs_systemd
def test_systemd_finds_little_that_the_process_may_do_beyond_its_work() -> None:
    done = analyzed("security", "--offline=yes", "--threshold=20", "--no-pager", SERVICE)
    assert done.returncode == 0, done.stdout


def test_the_service_ends_for_good_only_where_trying_again_cannot_help_and_has_the_time_that_a_stop_takes() -> (
    None
):
    service, settings = section(SERVICE, "Service"), defaults()
    assert service["Type"] == "notify-reload"
    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("always", "2")
    assert section(SERVICE, "Unit")["StartLimitIntervalSec"] == "0"
    assert int(service["TimeoutStopSec"]) >= settings.drain_delay + settings.drain_at_stop + OVERTIME
    assert service["KillMode"] == "mixed"
    assert int(service["LimitNOFILE"]) >= 2 * 16_384, "the most connections of visitors by default"


def test_the_socket_is_that_of_listen_and_has_its_name() -> None:
    found = section(SOCKET, "Socket")
    assert found["ListenStream"] == str(defaults().listen)
    assert found["FileDescriptorName"] == NAMES[0] == "public"


@pytest.mark.skipif(
    ctypes.CDLL(None).prctl(_PR_GET_MDWE, 0, 0, 0, 0) < 0, reason="this kernel cannot refuse memory to become code"
)
async def test_the_proxy_serves_where_no_memory_may_become_code(tmp_path: Path) -> None:
    async with unit(written(tmp_path, port=free_port()), first=REFUSES_CODE) as one:
        await one.told.told("READY")
        assert await one.stopped() == 0
