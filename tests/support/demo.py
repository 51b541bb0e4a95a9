"""The demo as people start it: a process that says its URL, until Ctrl+C ends it."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from oauth_proxy.demo.people import Api
from tests.support.units import PATIENCE


@dataclass(frozen=True)
class Demo:
    """A running `oauth-proxy demo`; its URL has no slash at the end."""

    process: subprocess.Popen[str]
    url: str

    def interrupt(self) -> int:
        """Ctrl+C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE)

    def children(self) -> set[int]:
        """The ids of the processes it has started, while it runs."""
        return {pid for pid, parent in _processes() if parent == self.process.pid}


@contextmanager
def demo(api: Api) -> Iterator[Demo]:
    """A demo that has said its URL; whatever happens, it is gone afterwards."""
    command = [sys.executable, "-m", "oauth_proxy", "demo", "--port", "0", "--api", api]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 our own command
        try:
            yield Demo(process, _said_url(process))
        finally:
            process.kill()


def living() -> set[int]:
    """The ids of all processes there are."""
    return {pid for pid, _ in _processes()}


def _said_url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://localhost:\d+(?=/)", line)
    assert found, f"no URL in {line!r}"
    return found[0]


def _processes() -> Iterator[tuple[int, int]]:
    """The id of each process and of its parent."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=", "-o", "ppid="], capture_output=True, check=True)  # noqa: S607
    for line in listed.stdout.splitlines():
        pid, parent = map(int, line.split())
        yield pid, parent
