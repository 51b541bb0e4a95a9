"""A unit as systemd runs it: a process with descriptors handed over, and a socket on which it tells how it is."""

import asyncio
import os
import signal
import socket
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.support.command import COMMAND
from tests.support.units import PATIENCE

_CREDENTIALS = struct.Struct("3i")
# What systemd does between fork and exec: descriptors from 3 on, and the process's own number in the environment.
_EXEC = """
import os, sys
handed, *command = sys.argv[1:]
above = [os.dup2(int(each), 100 + number) for number, each in enumerate(handed.split(",")) if each]
for number, each in enumerate(above):
    os.dup2(each, 3 + number)
os.closerange(3 + len(above), 200)
own = {"LISTEN_PID", "WATCHDOG_PID"}
os.environ |= {name: str(os.getpid()) for name, value in os.environ.items() if name in own and value == "its own"}
os.execvp(command[0], command)
"""
Message = dict[str, str]


class Notified:
    """The socket of NOTIFY_SOCKET. `messages` are those of the unit's main process, as systemd takes no others."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.main_pid = 0
        self.messages: list[Message] = []
        self._news = asyncio.Event()
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.setblocking(False)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._sock.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)

    def listen(self) -> None:
        """Take what is told, from now on."""
        asyncio.get_running_loop().add_reader(self._sock, self._take)

    def close(self) -> None:
        """No one hears any more."""
        asyncio.get_running_loop().remove_reader(self._sock)
        self._sock.close()
        self.vanish()

    def vanish(self) -> None:
        """Be nowhere any more."""
        Path(self.address).unlink(missing_ok=True)

    def fill(self) -> int:
        """Send junk until the socket takes no more; returns how many messages."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(self._sock.getsockname())
            number = 0
            while True:
                try:
                    sock.send(b"JUNK=1")
                except BlockingIOError:
                    return number
                number += 1

    async def until(self, is_it: Callable[[Message], bool], after: int = 0) -> Message:
        """The first message of that kind, from number `after` on."""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    for message in self.messages[after:]:
                        if is_it(message):
                            return message
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(self.messages) from None

    async def told(self, name: str, after: int = 0) -> Message:
        """The first message with this name in it, from number `after` on."""
        return await self.until(lambda message: name in message, after)

    async def is_told(self, status: str, after: int = 0) -> Message:
        """The first message whose STATUS has this in it."""
        return await self.until(lambda message: status in message.get("STATUS", ""), after)

    def _take(self) -> None:
        content, told, *_ = self._sock.recvmsg(8192, socket.CMSG_SPACE(_CREDENTIALS.size))
        [(_, _, credentials)] = told
        if _CREDENTIALS.unpack(credentials)[0] == self.main_pid:
            self.messages.append(dict(line.split("=", 1) for line in content.decode().split("\n")))
            self._news.set()


def changed(file: Path, **keys: object) -> None:
    """Write these keys into the proxy's file."""
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text("utf-8")), **keys}), "utf-8")


@dataclass
class Unit:
    """A unit that runs. `told` is None without NOTIFY_SOCKET."""

    process: Process
    told: Notified
    log: list[str] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def workers(self) -> list[int]:
        pid = self.process.pid
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]

    async def says(self, text: str) -> str:
        """The first line of the log with this text."""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    for line in self.log:
                        if text in line:
                            return line
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError("\n".join([f"nobody said {text!r}:", *self.log])) from None

    async def reloaded(self) -> Message:
        """What is told when a reload has ended, as `systemctl reload` waits for it."""
        before = len(self.told.messages)
        self.process.send_signal(signal.SIGHUP)
        await self.told.told("RELOADING", before)
        return await self.told.told("READY", before)

    async def stopped(self) -> int:
        """The exit status after a stop, as `systemctl stop` sends it with KillMode=mixed."""
        self.process.terminate()
        return await self.ended()

    async def ended(self) -> int:
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()

    async def listen_to(self) -> None:
        """Collect the log until all processes have closed it."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.log.append(line.decode().rstrip("\n"))
            self._news.set()


@asynccontextmanager
async def unit(
    file: Path,
    *,
    sockets: Sequence[socket.socket] = (),
    names: Sequence[str] | None = None,
    told: Notified | None = None,
    environ: Mapping[str, str] | None = None,
    first: str = "",
) -> AsyncIterator[Unit]:
    """`oauth-proxy run FILE`, started as systemd does it; ended with the context.

    `sockets` are handed over with these names; without any, as systemd before 227 did. "its own" in `environ` is
    the number of the process, for LISTEN_PID and WATCHDOG_PID. `first` is Python that the process runs before.
    """
    told = told or Notified(str(file.with_name("notify")))
    handed = {"LISTEN_PID": "its own", "LISTEN_FDS": str(len(sockets))} if sockets else {}
    if names is not None:
        handed["LISTEN_FDNAMES"] = ":".join(names)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", first + _EXEC, ",".join(str(each.fileno()) for each in sockets)),
        *(*COMMAND, "run", str(file)),
        env={**os.environ, "NOTIFY_SOCKET": told.address, **handed, **(environ or {})},
        pass_fds=[each.fileno() for each in sockets],
        stdout=PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    told.main_pid = process.pid
    told.listen()
    one = Unit(process, told)
    listening = asyncio.create_task(one.listen_to())
    try:
        yield one
    finally:
        if process.returncode is None:
            process.kill()
        async with asyncio.timeout(PATIENCE):
            await process.wait()
            await listening
        told.close()
    assert not [line for line in one.log if "Traceback" in line], "\n".join(one.log)
