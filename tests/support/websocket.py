"""The bytes of a WebSocket handshake that both sides agree to (RFC 6455 1.3)."""

import base64
import hashlib

from tests.support.tool import Peer, Play, Tool

KEY = base64.b64encode(b"0123456789abcdef")
ACCEPT = base64.b64encode(hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())  # noqa: S324 - RFC 6455
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    + ACCEPT
    + b"\r\n\r\n"
)


def switching(early: bytes) -> Play:
    """A tool that agrees, says `early` in the same breath, and then sends back what it hears."""

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(SWITCH + early)
        while data := await peer.reader.read(65536):
            await peer.send(data)

    return play
