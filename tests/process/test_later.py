"""The proxy's own files change while it runs: an upgrade in place, or a folder that somebody has removed."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from oauth_proxy import later
from oauth_proxy.errors import ConfigurationError
from tests.support.browser import IN_A_WINDOW, Visitor
from tests.support.places import ROOT
from tests.support.processes import Proxies, processes
from tests.support.sessions import signed_in
from tests.support.tool import until

AT_ONCE = """
import sys
sys.path.insert(0, {folder!r})
from oauth_proxy import later
later.AFTER = later.PAUSE = 0
from oauth_proxy.__main__ import main
main()
"""
WINDOW = [f"{name}: {value}" for name, value in IN_A_WINDOW.items()]
LOADED = "nothing is left to be loaded"


def installed(folder: Path) -> list[str]:
    """The command of an installation in this folder, which loads what it needs later as soon as it serves."""
    shutil.copytree(ROOT / "oauth_proxy", folder / "oauth_proxy", ignore=shutil.ignore_patterns("__pycache__"))
    return [sys.executable, "-c", AT_ONCE.format(folder=str(folder))]


async def shown(proxies: Proxies, visitor: Visitor) -> None:
    """A login, a page of each kind, and the status page."""
    cookie = await signed_in(proxies.stage, visitor)
    for target, lines, status, words in (
        ("/page", WINDOW, 401, "Sign in"),
        ("/oauth2/sign_in", [*WINDOW, "Accept-Language: de"], 200, "Anmelden"),
        ("/oauth2/sign_out", [cookie, *WINDOW], 200, "sign"),
        ("/oauth2/callback?state=x&code=y", WINDOW, 403, "<h1"),
        ("/oauth2/nothing", WINDOW, 404, "<h1"),
    ):
        answer = await proxies.stage.ask(target, *lines)
        assert (answer.status, words in answer.body.decode()) == (status, True), (target, answer.body)
    async with aiohttp.ClientSession() as http, http.get(f"http://{proxies.admin}/") as page:
        assert page.status == 200
        assert "<h1" in await page.text()


@pytest.mark.parametrize("workers", [1, 2])
async def test_an_installation_that_is_taken_away_breaks_nothing_of_what_runs(
    tmp_path: Path, visitor: Visitor, workers: int
) -> None:
    command = installed(tmp_path / "site")
    async with processes(tmp_path, command=command, workers=workers, log={"level": "debug"}) as proxies:
        await until(lambda: sum(LOADED in line for line in proxies.log) == workers)
        shutil.rmtree(tmp_path / "site")
        await shown(proxies, visitor)
        await proxies.reloaded("nothing is changed")
        await shown(proxies, visitor)


async def test_one_that_was_taken_away_before_it_was_loaded_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def steps() -> Iterator[None]:
        yield
        raise ConfigurationError(["files of the proxy itself cannot be read: gone"])

    monkeypatch.setattr(later, "AFTER", 0.0)
    await later.done(steps())
    assert caplog.messages == ["files of the proxy itself cannot be read: gone; restart the proxy"]


async def test_a_reload_does_not_mix_two_versions(tmp_path: Path, visitor: Visitor) -> None:
    command = installed(tmp_path / "site")

    def is_version(number: str) -> None:
        for old in (tmp_path / "site").glob("*.dist-info"):
            shutil.rmtree(old)
        about = tmp_path / "site" / f"frameio_oauth_proxy-{number}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: frameio-oauth-proxy\nVersion: {number}\n")

    is_version("1.0")
    async with processes(tmp_path, command=command, log={"level": "debug"}) as proxies:
        await proxies.reloaded("generation 2 serves")
        is_version("1.1")
        told = await proxies.reloaded("is installed")
        assert told.endswith("reload: version 1.0 runs, and 1.1 is installed: restart the proxy")
        await proxies.says("nothing is changed")
        await shown(proxies, visitor)
