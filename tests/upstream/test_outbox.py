"""Requests that wait for the end of the loop's turn."""

import asyncio

from oauth_proxy.upstream.outbox import Outbox


class Paper:
    """A connection that keeps what is written to it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, *pieces: bytes) -> None:
        self.written += pieces


async def test_what_is_posted_in_one_turn_is_written_at_its_end_and_once() -> None:
    outbox, first, second = Outbox(), Paper(), Paper()
    outbox.post(first, b"1")
    outbox.post(second, b"2")
    assert first.written == second.written == []
    await asyncio.sleep(0)
    assert (first.written, second.written) == ([b"1"], [b"2"])
    outbox.post(first, b"3")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (first.written, second.written) == ([b"1", b"3"], [b"2"])
