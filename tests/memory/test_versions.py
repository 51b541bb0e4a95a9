"""Files that other versions wrote: an upgrade loses nothing. What a newer one wrote: test_store_file.py."""

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.memories import a_memory, a_session
from tests.support.stores import Place, in_a_file

OF_0_2_0 = Path(__file__).with_name("store-0.2.0.sql")
"""What 0.2.0 made: a session that was refreshed a minute later, its visitor, and another one that was ended."""
MINUTE = 60.0


@in_a_file
async def test_what_0_2_0_wrote_is_known_after_an_upgrade(place: Place, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "sessions.db")) as database:
        database.executescript(OF_0_2_0.read_text("utf-8"))
    session, gone = a_session(place), a_session(place, "gone", who="u-al")
    place.clock.advance(MINUTE)
    memory = a_memory(place)
    await memory.follow()
    assert memory.trouble is None
    newest = await memory.newest(session.id)
    assert newest is not None
    assert newest.tokens.access == f"access-{place.clock()}"
    assert [each.session_id for each in await memory.notes()] == [session.id]
    assert memory.has_ended(gone)
    assert not memory.has_ended(session)
