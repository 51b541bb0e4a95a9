"""What docs/operating.md tells operators to do, done: another client secret, a copy of the store."""

import asyncio
import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from oauth_proxy.demo.people import App
from oauth_proxy.serving import running
from oauth_proxy.settings import Listen, Sqlite
from tests.support.browser import Visitor
from tests.support.processes import processes
from tests.support.proxy import SCRIPT, WANTED, on_stage
from tests.support.sessions import signed_in
from tests.support.tool import until
from tests.support.units import HOUR


async def test_another_client_secret_signs_nobody_out_however_late_the_file_has_it(
    tmp_path: Path, visitor: Visitor
) -> None:
    async with processes(tmp_path, frameio={"access_lifetime": 1}) as proxies:
        stage = proxies.stage
        cookie = await signed_in(stage, visitor)
        began = time.time()
        stage.frameio.set_access_lifetime(HOUR)
        callback = f"{stage.url}/oauth2/callback"
        stage.frameio.register(App("studio", "another-secret", (callback,)))
        await until(lambda: time.time() > began + 1)
        answer = await stage.ask("/echo", cookie, *SCRIPT)
        assert (answer.status, b"provider_refused_us" in answer.body) == (502, True)
        proxies.write(frameio={**proxies.tree["frameio"], "client_secret": "another-secret"})
        await proxies.reloaded("serves")
        answer = await stage.ask("/echo", cookie, *SCRIPT)
        assert answer.status == 200, proxies.log


async def test_a_copy_of_the_store_that_was_made_while_it_was_used_knows_who_signed_out(
    tmp_path: Path, visitor: Visitor
) -> None:
    store, copy = tmp_path / "sessions.db", tmp_path / "sessions.copy.db"
    async with on_stage(session={"store": f"sqlite:{store}"}) as stage:
        cookie = await signed_in(stage, visitor)
        assert (await stage.ask("/oauth2/sign_out", cookie, WANTED)).status == 200
        await asyncio.to_thread(copied, store, copy)
        session = stage.settings.session.model_copy(update={"store": Sqlite(copy)})
        restored = stage.settings.model_copy(update={"listen": Listen("127.0.0.1", 0), "session": session})
        async with running(restored, sys.stderr, stage.clock) as up:
            after = replace(stage, proxy=up.proxy, listens_on=up.listen.port)
            assert (await after.ask("/echo", cookie, *SCRIPT)).status == 401


def copied(store: Path, copy: Path) -> None:
    """What `sqlite3 STORE ".backup COPY"` does."""
    with closing(sqlite3.connect(store)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
