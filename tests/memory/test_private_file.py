"""The file of the memory that ends with the proxy: it lies in memory, so it is bounded."""

from pathlib import Path

import pytest

from oauth_proxy.memory import sqlite
from oauth_proxy.memory.home import Record
from oauth_proxy.memory.sqlite import SqliteHome
from tests.support.proxy import Clock
from tests.support.stores import SITE, WEEK


async def test_attempts_without_number_fill_no_memory_and_take_no_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "MOST_BYTES", 2 * 1024 * 1024)
    clock = Clock()
    home = SqliteHome(tmp_path / "memory.db", SITE, clock, lasting=False)
    await home.open()
    await home.put(Record("session:one", "tokens", clock(), WEEK))
    size = 0
    for number in range(40):
        await home.put(*[Record(f"claim:{number}-{each}", "x" * 200, clock(), 900.0) for each in range(1000)])
        await home.news()
        size = max(size, (tmp_path / "memory.db").stat().st_size)
    assert size < 8 * 1024 * 1024
    assert await home.get("session:one") == "tokens"
    assert await home.get("claim:39-999") is not None
    await home.close()
