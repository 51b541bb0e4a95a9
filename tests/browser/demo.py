"""The demo as people start it: a process that says its URL, and that leaves nothing behind when Ctrl+C ends it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oauth_proxy.demo.people import Api

PATIENCE = 60.0
"""Seconds after which a demo that does not end has failed."""


class Demo:
    """A running `oauth-proxy demo`."""

    def __init__(self, api: Api) -> None:
        command = [sys.executable, "-m", "oauth_proxy", "demo", "--port", "0", "--api", api]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.url = self._said_url()

    def interrupt(self) -> int:
        """Ctrl+C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE)

    def children(self) -> set[int]:
        """The ids of the processes it has started, while it runs."""
        return {pid for pid, parent in _parents() if parent == self.process.pid}

    def close(self) -> None:
        """End it one way or the other, and its output with it."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def _said_url(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://localhost:\d+(?=/)", line)
        assert found, f"no URL in {line!r}"
        return found[0]


@contextmanager
def demo(api: Api) -> Iterator[Demo]:
    """A demo that has said its URL; whatever happens, it is gone afterwards."""
    running = Demo(api)
    try:
        yield running
    finally:
        running.close()


def living() -> set[int]:
    """The ids of all processes there are."""
    return {pid for pid, _ in _parents()}


def _parents() -> Iterator[tuple[int, int]]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # pid (command) state parent …, proc(5); the command may hold anything, brackets too.
            stat = (folder / "stat").read_text("utf-8", "replace")
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
        yield int(folder.name), int(stat.rpartition(")")[2].split()[1])
