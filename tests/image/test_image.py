"""The image as operators run it: read-only, as nobody in particular, without capabilities (make image)."""

import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from oauth_proxy.demo.frameio import FrameIO
from oauth_proxy.demo.people import EDITOR, App
from oauth_proxy.demo.tool import tool
from tests.support.browser import Visitor
from tests.support.command import ended
from tests.support.image import ENVIRONMENT, Container, Image, ToolFailed, built, needs_tools, swift
from tests.support.places import ROOT
from tests.support.proxy import a_secret, free_port, serving, settings_tree

pytestmark = [pytest.mark.image, pytest.mark.timeout(600)]

MOST = 41_000_000
"""Bytes of the environment: about half of the 78.4 million that du counts with all that its packages bring."""
UNCHECKED = 1
"""The flags of byte code that is never compared with its source: PEP 552."""

SEEN_FROM_INSIDE = """
import json, os
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
writable = []
for folder, below, files in os.walk("/"):
    below[:] = [name for name in below if os.path.join(folder, name) not in ("/proc", "/sys", "/dev")]
    paths = [folder, *(os.path.join(folder, name) for name in files)]
    writable += [path for path in paths if os.access(path, os.W_OK)]
print(json.dumps({
    "user": [status["Uid"], status["Gid"], status["Groups"].strip()],
    "capabilities": status["CapEff"] + status["CapBnd"],
    "writable": writable,
}))
"""
EVERYTHING_IMPORTED = """
import importlib, importlib.util, json, pkgutil, sys, sysconfig
from pathlib import Path
import oauth_proxy
place = Path(sysconfig.get_path("purelib"))
ours = [each.name for each in pkgutil.walk_packages(oauth_proxy.__path__, "oauth_proxy.")]
libraries = [path.relative_to(place) for path in place.rglob("*.so")]
compiled = [".".join((*path.parent.parts, path.name.partition(".")[0])) for path in libraries]
for name in (*ours, *compiled):
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(json.dumps({"compiled": compiled, "ours": len(ours), "pip": importlib.util.find_spec("pip") is not None}))
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The image of this checkout."""
    needs_tools()
    with TemporaryDirectory(dir=swift(tmp_path_factory.mktemp("image"))) as folder, built(Path(folder)) as image:
        yield image


def inside(image: Image, folder: Path, script: str) -> Any:
    """What a script prints that runs in the image, as JSON."""
    return json.loads(Container.of(image, folder, "python", "-c", script).said())


async def test_a_visitor_signs_in_through_the_image_and_its_health_check_holds_while_it_runs(
    image: Image, tmp_path: Path
) -> None:
    emulator = FrameIO(time.time)
    async with serving(emulator.app()) as frameio, serving(tool("v4")) as behind, Visitor() as visitor:
        url, secret = f"http://localhost:{free_port()}", "an-emulated-secret"
        emulator.register(App("studio", secret, (f"{url}/oauth2/callback",), api="v4"))
        tree = settings_tree(url, "v4", frameio, behind, client_secret=secret, keys=[a_secret()])
        tree["admin"]["listen"] = f"127.0.0.1:{free_port()}"
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(tree))
        with pytest.raises(ToolFailed):  # nobody is there yet
            Container.of(image, tmp_path, *image.health, file=file).said()
        container = Container.of(image, tmp_path, file=file)
        async with container.running(sign=b"serving") as process:
            page = await visitor.login(f"{url}/echo")
            assert page.status == 200
            assert EDITOR.email in await page.text()
            healthy = container.executed(*image.health)
            assert healthy.returncode == 0, healthy.stderr
            process.terminate()
            assert (await ended(process))[0] == 0


def test_in_the_image_nothing_can_be_written_and_no_privilege_is_held(image: Image, tmp_path: Path) -> None:
    seen = inside(image, tmp_path, SEEN_FROM_INSIDE)
    assert seen["user"] == ["\t".join(["10001"] * 4), "\t".join(["10001"] * 4), ""]
    assert set(seen["capabilities"]) == {"0"}
    assert seen["writable"] == []


def test_whatever_was_taken_away_is_missed_by_no_module_and_no_command(image: Image, tmp_path: Path) -> None:
    seen = inside(image, tmp_path, EVERYTHING_IMPORTED)
    assert seen["ours"] > 50
    assert {"uvloop.loop", "cryptography.hazmat.bindings._rust"} <= set(seen["compiled"])
    assert not seen["pip"]
    described = Container.of(image, tmp_path, "oauth-proxy", "schema").said()
    assert json.loads(described) == json.loads((ROOT / "config" / "schema.json").read_text("utf-8"))


def test_nothing_has_to_be_compiled_when_it_starts(image: Image) -> None:
    sources = list((image.root / ENVIRONMENT).rglob("*.py"))
    assert sources
    for source in sources:
        assert "oauth_proxy" in source.parts, "the sources of dependencies are not in the image"
        [code] = (source.parent / "__pycache__").glob(f"{source.stem}.cpython-3??.pyc")
        assert int.from_bytes(code.read_bytes()[4:8], "little") == UNCHECKED, source


def test_the_environment_is_half_of_what_its_packages_bring(
    image: Image, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, environment = image.size(), image.size(ENVIRONMENT)
    with capsys.disabled():
        sys.stdout.write(
            f"\nimage: {environment / 1e6:.1f} MB of environment, {whole / 1e6:.1f} MB with its base\n"
        )
    unwanted = re.compile(r"/(pip|tests|_testcapi\b.*|test_utils\..*)$|\.(pyx|pxd|pxi|pyi|h)$")
    held = [str(path) for path in (image.root / ENVIRONMENT).rglob("*") if unwanted.search(str(path))]
    assert held == []
    assert environment <= MOST
