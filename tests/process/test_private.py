"""The folder that workers share, in a place that somebody spoils while the proxy runs."""

import os
import resource
import shutil
import signal
from pathlib import Path

import pytest

from oauth_proxy.process.private import PrivateFolder
from tests.support.processes import processes
from tests.support.tool import until


async def test_a_place_that_cannot_be_looked_into_ends_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one with another mode is to all but root; a link to a name that no folder can have is to root, too."""
    real, place, beside = tmp_path / "real", tmp_path / "run", tmp_path / "beside"
    real.mkdir()
    place.symlink_to(real)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(place))
    async with processes(tmp_path) as proxies:
        beside.symlink_to("x" * 300)
        beside.replace(place)
        [worker] = proxies.workers
        os.kill(worker, signal.SIGKILL)
        await until(lambda: proxies.workers not in ([], [worker]))
        assert (await proxies.stage.ask("/echo")).status == 401
        beside.symlink_to(real)
        beside.replace(place)
        assert (await proxies.stage.ask("/echo")).status == 401
        proxies.process.terminate()
        assert await proxies.ended() == 0
        assert not [*real.iterdir()]


def test_a_folder_that_could_not_be_locked_again_is_locked_later_and_no_other_file_is_closed(
    tmp_path: Path,
) -> None:
    folder = PrivateFolder({"RUNTIME_DIRECTORY": str(tmp_path)})
    folder.make()
    [path] = tmp_path.iterdir()
    shutil.rmtree(path)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        folder.restore()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    with (tmp_path / "another").open("w") as another:
        folder.restore()
        os.utime(path, (0, 0))
        PrivateFolder({"RUNTIME_DIRECTORY": str(tmp_path)}).make()
        assert path.is_dir(), "the next proxy sees that it is in use"
        folder.remove()
        assert not path.exists()
        another.write("still open")
