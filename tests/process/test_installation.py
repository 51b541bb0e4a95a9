"""The proxy's own files change while it runs: an upgrade in place, or a folder that somebody has removed."""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from tests.support.browser import IN_A_WINDOW, Visitor
from tests.support.places import ROOT
from tests.support.processes import Proxies, processes
from tests.support.sessions import signed_in

RUN = "import sys; sys.path.insert(0, {folder!r}); from oauth_proxy.__main__ import main; main()"
WINDOW = [f"{name}: {value}" for name, value in IN_A_WINDOW.items()]


def installed(folder: Path) -> list[str]:
    """The command of an installation in this folder."""
    shutil.copytree(ROOT / "oauth_proxy", folder / "oauth_proxy", ignore=shutil.ignore_patterns("__pycache__"))
    return [sys.executable, "-c", RUN.format(folder=str(folder))]


def replaced(folder: Path) -> None:
    """Another version: of each module and template as much as of a file that is being written."""
    for file in (folder / "oauth_proxy").rglob("*"):
        if file.suffix in (".py", ".html", ".js", ".mo"):
            file.write_bytes(b"{% half")


async def shown(proxies: Proxies, visitor: Visitor) -> None:
    """A login, a page of each kind, and the status page."""
    cookie = await signed_in(proxies.stage, visitor)
    for target, lines, status, words in (
        ("/page", WINDOW, 401, "Sign in"),
        ("/oauth2/sign_in", [*WINDOW, "Accept-Language: de"], 200, "Anmelden"),
        ("/oauth2/sign_out", [cookie, *WINDOW], 200, "<h1"),
        ("/oauth2/callback?state=x&code=y", WINDOW, 403, "<h1"),
        ("/oauth2/nothing", WINDOW, 404, "<h1"),
    ):
        answer = await proxies.stage.ask(target, *lines)
        assert (answer.status, words in answer.body.decode()) == (status, True), (target, answer.body)
    async with aiohttp.ClientSession() as http, http.get(f"http://{proxies.admin}/") as page:
        assert page.status == 200
        assert "<h1" in await page.text()


@pytest.mark.parametrize("change", [shutil.rmtree, replaced])
@pytest.mark.parametrize("workers", [1, 2])
async def test_an_installation_that_changes_is_nothing_to_a_proxy_that_runs(
    tmp_path: Path, visitor: Visitor, workers: int, change: Callable[[Path], None]
) -> None:
    command, headers = installed(tmp_path / "site"), {"X-Assertion": "{assertion}"}
    async with processes(tmp_path, command=command, workers=workers, headers=headers) as proxies:
        change(tmp_path / "site")
        await shown(proxies, visitor)
        proxies.write(workers=3 - workers)
        await proxies.reloaded("generation 2 serves")
        await shown(proxies, visitor)
        for worker in proxies.workers:
            os.kill(worker, signal.SIGKILL)
        await proxies.says("another one starts")
        await shown(proxies, visitor)
