"""Who replaces a worker that has died, while a file or place is broken that the worker had been started with."""

import asyncio
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.browser import IN_A_WINDOW, Visitor
from tests.support.certificates import Authority
from tests.support.processes import Proxies, processes
from tests.support.proxy import a_secret
from tests.support.sessions import signed_in
from tests.support.tool import until
from tests.support.units import PATIENCE

Broken = Callable[[Path], object]


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def damaged(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def half_written(folder: Path) -> None:
    (folder / "error.html").write_text("{% half")


def with_a_certificate(at: Path, authority: Authority) -> Mapping[str, Any]:
    return {"tls": authority.pair(at.with_suffix(""), "localhost")}


def with_a_list(at: Path, _: Authority) -> Mapping[str, Any]:
    at.write_text("*@studio.example.com\n")
    return {"access": {"allow": [{"emails_file": str(at)}]}}


def with_an_audit(at: Path, _: Authority) -> Mapping[str, Any]:
    at.mkdir()
    return {"log": {"audit": str(at / "audit.log"), "access": "false"}}


def with_a_store(at: Path, _: Authority) -> Mapping[str, Any]:
    at.parent.mkdir()
    return {"session": {"secret": [a_secret()], "store": f"sqlite:{at}"}}


def with_a_logo(at: Path, _: Authority) -> Mapping[str, Any]:
    at.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    return {"pages": {"logo": str(at)}}


def with_templates(at: Path, _: Authority) -> Mapping[str, Any]:
    at.mkdir()
    (at / "error.html").write_text("mine")
    return {"pages": {"templates": str(at)}}


def with_an_authority(at: Path, authority: Authority) -> Mapping[str, Any]:
    tool = {"url": "https://127.0.0.1:9", "ca_file": authority.write_ca(at)}
    return {"upstreams": {"/": tool}}


async def asked(proxies: Proxies, authority: Authority) -> tuple[int, bytes]:
    """The answer to a question that one of our pages answers, from a new connection."""
    connector = aiohttp.TCPConnector(ssl=authority.trusting())
    url = f"{'https' if 'tls' in proxies.tree else 'http'}://127.0.0.1:{proxies.stage.listens_on}/oauth2/sign_in"
    headers = {**IN_A_WINDOW, "Host": f"localhost:{proxies.stage.port}"}
    async with (
        asyncio.timeout(PATIENCE / 3),
        aiohttp.ClientSession(connector=connector) as http,
        http.get(url, headers=headers) as answer,
    ):
        return answer.status, await answer.read()


async def worker_dies(proxies: Proxies) -> None:
    await until(lambda: len(proxies.workers) == 1)
    [worker] = proxies.workers
    os.kill(worker, signal.SIGKILL)
    await proxies.says(f"worker {worker} has ended")


@pytest.mark.parametrize(
    ("configured", "name", "broken"),
    [
        (with_a_certificate, "visitors.crt", Path.unlink),
        (with_a_certificate, "visitors.key", emptied),
        (with_a_list, "people.txt", emptied),
        (with_an_audit, "audit", shutil.rmtree),
        (with_a_store, "stored/store.db", damaged),
        (with_a_store, "stored/store.db", lambda path: shutil.rmtree(path.parent)),
        (with_a_logo, "logo.svg", Path.unlink),
        (with_templates, "templates", half_written),
        (with_templates, "templates", shutil.rmtree),
        (with_an_authority, "ca.pem", emptied),
    ],
)
async def test_a_worker_is_replaced_by_one_like_it_whatever_has_become_of_a_file_and_a_reload_is_refused(
    tmp_path: Path,
    authority: Authority,
    configured: Callable[[Path, Authority], Mapping[str, Any]],
    name: str,
    broken: Broken,
) -> None:
    path = tmp_path / name
    async with processes(tmp_path, **configured(path, authority)) as proxies:
        before = await asked(proxies, authority)
        broken(path)
        await worker_dies(proxies)
        assert await asked(proxies, authority) == before
        told = len(proxies.log)
        await proxies.reloaded("nothing is changed")
        assert str(tmp_path) in await proxies.says("reload: ", told), "the first line says what is wrong"
        await worker_dies(proxies)
        assert await asked(proxies, authority) == before


async def test_who_replaces_a_worker_has_the_list_that_was_read_last_and_goes_on_looking(
    tmp_path: Path, visitor: Visitor
) -> None:
    path = tmp_path / "people.txt"
    path.write_text("*@studio.example.com\n")
    async with processes(tmp_path, access={"allow": [{"emails_file": str(path)}]}) as proxies:
        cookie = await signed_in(proxies.stage, visitor)

        async def becomes(status: int) -> None:
            async with asyncio.timeout(PATIENCE):
                while (await proxies.stage.ask("/echo", cookie)).status != status:  # noqa: ASYNC110 other processes
                    await asyncio.sleep(0.1)

        path.write_text("reviewer@studio.example.com\n")
        await becomes(403)
        path.unlink()
        await worker_dies(proxies)
        assert (await proxies.stage.ask("/echo", cookie)).status == 403
        path.write_text("editor@studio.example.com\n")
        await becomes(200)


async def test_who_replaces_a_worker_says_that_lines_of_the_audit_are_lost_until_they_can_be_written(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "audit"
    folder.mkdir()
    async with processes(tmp_path, log={"audit": str(folder / "audit.log"), "access": "false"}) as proxies:
        shutil.rmtree(folder)
        await worker_dies(proxies)
        await proxies.says("audit lines are lost: No such file or directory")
        folder.mkdir()
        assert (await proxies.stage.ask("/echo")).status == 401
        await proxies.says("the audit stream is written again")
        assert '"refused_at_door"' in (folder / "audit.log").read_text()
