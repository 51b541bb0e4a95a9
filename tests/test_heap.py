"""What is free goes back to the system in the end."""

import asyncio
import ctypes

import pytest

from oauth_proxy import heap


async def test_what_is_free_is_given_back_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    libc = type("", (), {"malloc_trim": staticmethod(given.append)})
    monkeypatch.setattr(ctypes, "CDLL", lambda _: libc)
    monkeypatch.setattr(heap, "REST", 0.001)
    giving = asyncio.create_task(heap.give_back())
    async with asyncio.timeout(20):
        while len(given) < 3:  # noqa: ASYNC110 - the C library sets no event
            await asyncio.sleep(0.001)
    giving.cancel()
    assert set(given) == {0}


async def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    monkeypatch.setattr(heap, "REST", 0.001)
    heap.keep_freed_memory()
    await heap.give_back()
