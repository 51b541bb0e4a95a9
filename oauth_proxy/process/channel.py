"""The line between the parent and one worker: a JSON object in each line, both ways.

The law: the parent never waits for a worker.
"""

import json
import socket
from contextlib import suppress
from typing import Any

Message = dict[str, Any]
_PIECE = 256 * 1024
LONGEST = 16 * 1024 * 1024
"""Bytes of a message, and bytes that may wait for a worker that reads nothing."""


def written(message: Message) -> bytes:
    """The message as it is sent."""
    return json.dumps(message).encode() + b"\n"


class Channel:
    """The parent's end."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._out = b""
        self._in = b""

    def fileno(self) -> int:
        """The descriptor, for a selector."""
        return self._sock.fileno()

    @property
    def is_waiting(self) -> bool:
        """Whether the worker has not taken everything yet: call `send` again."""
        return bool(self._out)

    def send(self, *messages: Message) -> None:
        """Send what the worker takes now; the rest stays for later. A worker that takes nothing hears no more."""
        if len(self._out) < LONGEST:
            self._out += b"".join(map(written, messages))
        try:
            while self._out:
                self._out = self._out[self._sock.send(self._out) :]
        except BlockingIOError:
            pass
        except OSError:  # the worker has ended, which `receive` and SIGCHLD tell too
            self._out = b""

    def receive(self) -> list[Message]:
        """The messages that have arrived since the last call."""
        try:
            while piece := self._sock.recv(_PIECE):
                self._in += piece
                if len(self._in) > LONGEST:
                    self._in = b""
        except OSError:  # BlockingIOError: that was all; any other: the worker has ended
            pass
        *lines, self._in = self._in.split(b"\n")
        messages = []
        for line in lines:
            with suppress(ValueError):  # the rest of one that was too long
                messages.append(json.loads(line))
        return messages

    def close(self) -> None:
        """Close this end: a worker that still runs learns that it is alone."""
        self._sock.close()
