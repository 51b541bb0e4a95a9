"""The Python tool of docs/assertions.md believes what the proxy signs for it, and nothing else."""

import sys

import pytest

from tests.support.browser import Visitor
from tests.support.verifying_tools import FOLDER, believes_the_proxy_alone


async def test_the_python_tool_believes_the_proxy_alone(visitor: Visitor) -> None:
    pytest.importorskip("jwt", reason="PyJWT is not installed")
    await believes_the_proxy_alone(visitor, sys.executable, FOLDER / "python_tool.py")
