"""A program on one core: started, awaited, its CPU time and memory read from /proc, and stopped."""

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.measure import cpu_ticks, memory, parent

PROXY_CORE, OTHER_CORE = 0, 1
"""The proxy has one core for itself; upstream and load generator share the other one."""
ALL_CORES = f"{PROXY_CORE},{OTHER_CORE}"
PATIENCE = 30.0  # seconds
TICK: int = os.sysconf("SC_CLK_TCK")


class NotStartedError(Exception):
    """A program ended, or did not listen in time; the message ends with what it said last."""


def free_port() -> int:
    """A port nothing listens on, out of those that the system does not hand out by itself in the meantime."""
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Program:
    """A program and its children, pinned to `core`, or several; a context manager that has it listening on `port`.

    `cold_start` is how many seconds passed from its start to the first connection accepted.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        port: int,
        core: int | str,
        log: Path,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port
        self.cold_start = 0.0
        self._command = ["taskset", "-c", str(core), *command]
        self._environ = {**os.environ, **(environ or {})}
        self._log = log

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            began = time.perf_counter()
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ,
                start_new_session=True,
            )
        try:
            self._await_listening(began + PATIENCE)
        except BaseException:
            self.stop()
            raise
        self.cold_start = time.perf_counter() - began
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it, and whatever it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def cpu(self) -> float:
        """Seconds of CPU time that it and its children have used."""
        return sum(cpu_ticks(_read(pid, "stat")) for pid in self._family()) / TICK

    def memory(self) -> int:
        """Bytes of memory of it and its children together; what several of them share counts once."""
        return sum(memory(_read(pid, "smaps_rollup"), "Pss") for pid in self._family())

    def peak(self) -> int:
        """The most bytes since `forget_peak`."""
        status = [_read(pid, "status") for pid in self._family()]
        shared = sum(memory(each, "VmRSS") for each in status) - self.memory()
        return sum(memory(each, "VmHWM") for each in status) - shared

    def own(self) -> int:
        """Bytes of the first process that no child shares."""
        told = _read(self._process.pid, "smaps_rollup")
        return sum(memory(told, f"Private_{kind}") for kind in ("Clean", "Dirty"))

    def reload(self) -> None:
        """Let it read its configuration again."""
        os.kill(self._process.pid, signal.SIGHUP)

    def forget_peak(self) -> None:
        """Let the peak begin at what is used now."""
        for pid in self._family():
            Path(f"/proc/{pid}/clear_refs").write_text("5", "ascii")

    def _family(self) -> list[int]:
        parents = {int(path.name): _parent(int(path.name)) for path in Path("/proc").glob("[0-9]*")}
        family = [self._process.pid]
        for pid in family:  # grows while it is walked
            family += [child for child, of in parents.items() if of == pid]
        return family

    def _await_listening(self, until: float) -> None:
        while not self._accepts():
            if self._process.poll() is not None or time.perf_counter() > until:
                said = self._log.read_text("utf-8", "replace")[-600:]
                raise NotStartedError(f"{self._command[3]} does not listen: {said}")
            time.sleep(0.001)

    def _accepts(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _read(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text("utf-8", "replace")


def _parent(pid: int) -> int:
    try:
        return parent(_read(pid, "stat"))
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return 0
