"""The Go and Node tools of docs/assertions.md, with the libraries that they name, believe the proxy alone."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.browser import Visitor
from tests.support.verifying_tools import FOLDER, believes_the_proxy_alone

pytestmark = pytest.mark.e2e


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*command: str, folder: Path) -> None:
    """Run this to its end in that folder; what it says is shown when it fails."""
    subprocess.run(command, cwd=folder, check=True, timeout=300)  # noqa: S603


async def test_the_go_tool_believes_the_proxy_alone(visitor: Visitor, tmp_path: Path) -> None:
    run(program("go"), "build", "-mod=readonly", "-o", f"{tmp_path}/tool", ".", folder=FOLDER / "go")
    await believes_the_proxy_alone(visitor, tmp_path / "tool")


async def test_the_node_tool_believes_the_proxy_alone(visitor: Visitor, tmp_path: Path) -> None:
    node, npm = program("node"), program("npm")
    shutil.copytree(FOLDER / "node", tmp_path, dirs_exist_ok=True)
    run(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", folder=tmp_path)
    await believes_the_proxy_alone(visitor, node, tmp_path / "tool.mjs")
