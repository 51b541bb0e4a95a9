"""Writes several pieces of bytes at once.

The law: a transport tells whoever writes when its buffer is full. Otherwise a response would be buffered whole for
a client that does not read.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol


class Writing(Protocol):
    """The part of a transport that is needed here."""

    def write(self, data: bytes, /) -> None:
        """Send `data`, or put it into the buffer."""
        ...

    def writelines(self, pieces: Sequence[bytes], /) -> None:
        """Send the pieces one after the other, or put them into the buffer."""
        ...


def write_pieces(transport: Writing, pieces: Sequence[bytes]) -> None:
    """Send the pieces in one write. uvloop sends them as they are; for asyncio's own transports they are joined.

    Before Python 3.12 the `writelines` of asyncio's own joins them itself. In 3.12.0 to 3.12.8, 3.13.0 and 3.13.1
    it never calls `pause_writing` (CVE-2024-12254).
    """
    if isinstance(transport, asyncio.WriteTransport):  # uvloop's are none: they have the methods only
        transport.write(b"".join(pieces))
    else:
        transport.writelines(pieces)
