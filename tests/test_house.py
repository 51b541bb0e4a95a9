"""The house rules of the code, held: who may import, print and read what, and what every file owes its reader."""

import ast
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from oauth_proxy import settings
from oauth_proxy.upstream.routes import Upstreams
from tests import newest
from tests.support.places import ROOT

PACKAGE = ROOT / "oauth_proxy"
LONGEST = 300
ROOMS_OF = {
    "click": {"cli", "inquiries", "beginnings", "migration"},
    "cryptography": {"assertions", "certificates", "seal"},
    "httptools": {"upstream"},
    "jinja2": {"pages", "demo"},
    "joserfc": {"assertions"},
    "multidict": {"demo"},  # aiohttp's own mapping
    "oauthlib": {"oauth"},
    "publicsuffixlist": {"settings"},
    "prometheus_client": {"telemetry", "admin"},
    "pydantic": {"settings"},
    "pydantic_core": {"settings"},
    "redis": {"memory"},
    "uvloop": {"process"},
    "yaml": {"settings", "migration"},
}
"""Where each package may be imported; a package that is not named here is standard, ours, or aiohttp."""
LOWER_FLOORS = {
    *("errors", "clock", "identity", "settings", "seal", "headers", "paths", "pages", "quotes", "telemetry"),
    *("access", "assertions", "oauth", "cookies", "webhooks", "commands", "bounded", "certificates", "door"),
}
"""Rooms that never wait and never see a socket."""
NOT_OURS = {".git", ".venv", "__pycache__", "artifacts", "cases", "htmlcov", "dist", "node_modules"}
"""Other programs' folders (in a worktree, .git is a file), and the fuzzer's cases, which are no text."""


@dataclass(frozen=True)
class Module:
    """One file of the package: its `name` within it, its `room` (the first part of that), its `tree`."""

    name: str
    room: str
    text: str
    tree: ast.Module

    @classmethod
    def read(cls, path: Path) -> "Module":
        name = path.relative_to(PACKAGE)
        text = path.read_text("utf-8")
        return cls(name.as_posix(), name.with_suffix("").parts[0], text, ast.parse(text))

    def nodes(self) -> Iterator[ast.AST]:
        return ast.walk(self.tree)

    def imported(self) -> set[str]:
        """The top-level packages it imports."""
        found: set[str] = set()
        for node in self.nodes():
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add((node.module or "").partition(".")[0])
        return found

    def mentioned(self) -> set[str]:
        """Dotted names in its code, such as `sys.exit` and `os.environ.get`."""
        return {ast.unparse(node) for node in self.nodes() if isinstance(node, ast.Name | ast.Attribute)}

    def strings(self) -> set[str]:
        """The strings that its code uses; docstrings, which only explain, are not among them."""
        explaining = {id(node.value) for node in self.nodes() if isinstance(node, ast.Expr)}
        return {
            node.value
            for node in self.nodes()
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in explaining
        }


MODULES = [Module.read(path) for path in sorted(PACKAGE.rglob("*.py"))]


def tracked() -> Iterator[Path]:
    """Every file of the project that is somebody's text; hidden folders but .ci and .github are tools' own."""
    for folder, folders, names in os.walk(ROOT):
        ours = (name for name in folders if name in (".ci", ".github") or not name.startswith("."))
        folders[:] = sorted(set(ours) - NOT_OURS)  # environments have tens of thousands of files
        for path in sorted(Path(folder, name) for name in set(names) - NOT_OURS):
            if (
                path.is_file()
                and path.suffix not in (".pyc", ".png", ".mo")
                and not path.name.startswith(".coverage")
            ):
                yield path


def test_every_module_opens_by_saying_what_it_is() -> None:
    for module in MODULES:
        opening = (ast.get_docstring(module.tree) or "").partition("\n\n")[0]
        assert opening.endswith((".", "?")), module.name


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    for module in MODULES:
        lines = len(module.text.splitlines())
        assert lines <= LONGEST, module.name


def test_each_package_is_imported_in_its_rooms_only() -> None:
    for module in MODULES:
        foreign = module.imported() - set(sys.stdlib_module_names) - {"oauth_proxy", "aiohttp"}
        assert foreign <= ROOMS_OF.keys(), (
            f"{module.name}: a new dependency is argued for, and gets its rooms here"
        )
        assert not {package for package in foreign if module.room not in ROOMS_OF[package]}, module.name


def test_the_lower_floors_never_wait_and_never_see_a_socket() -> None:
    lower = [module for module in MODULES if module.room in LOWER_FLOORS]
    assert {module.room for module in lower} == LOWER_FLOORS
    waiting = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)
    for module in lower:
        assert not module.imported() & {"asyncio", "socket", "ssl", "selectors", "threading"}, module.name
        assert not [node for node in module.nodes() if isinstance(node, waiting)], module.name


def test_only_the_command_prints_and_exits() -> None:
    printing = {"print", "sys.stdout", "sys.stderr", "exit", "quit", "sys.exit", "os._exit", "SystemExit"}
    found = {module.name: module.mentioned() & printing for module in MODULES}
    # The demo's cast is a process of its own, which says its ports on standard output.
    assert {name: names for name, names in found.items() if names and name != "cli.py"} == {
        "demo/serve.py": {"sys.stdout"}
    }


def test_only_commands_read_the_environment() -> None:
    reading = {"os.environ", "os.environb", "os.getenv"}
    readers = {module.name for module in MODULES if module.mentioned() & reading}
    assert readers == {"cli.py", "demo/__main__.py"}


def test_frame_io_s_addresses_stand_in_the_provider_s_room_only() -> None:
    address = re.compile(r"[\w-]\.(?:frame\.io|adobelogin\.com)")
    rooms = {module.room for module in MODULES if address.search("\n".join(module.strings()))}
    assert rooms == {"provider"}


def test_nothing_is_forwarded_without_saying_whose_it_is() -> None:
    visit = inspect.signature(Upstreams.prepare).parameters["visit"]
    assert visit.default is inspect.Parameter.empty


def test_the_import_floors_hold() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout


def test_settings_are_imported_from_the_package_and_not_from_its_modules() -> None:
    for path in tracked():
        if path.suffix != ".py" or {PACKAGE / "settings", ROOT / "tests" / "settings"} & set(path.parents):
            continue
        text = path.read_text("utf-8")
        if "oauth_proxy.settings" not in text:  # to parse takes long
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module == "oauth_proxy.settings":
                names = {alias.name for alias in node.names}
                assert names <= set(settings.__all__), path.relative_to(ROOT)
            elif isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("oauth_proxy.settings."), path.relative_to(ROOT)
            elif isinstance(node, ast.Import):
                names = {alias.name for alias in node.names}
                assert not any(name.startswith("oauth_proxy.settings.") for name in names), path.relative_to(ROOT)


@pytest.mark.parametrize(
    "name", [f"requirements{of}.txt" for of in ("", "-dev", "-build", "-fuzz", "-sdk", "-e2e", "-supply")]
)
def test_every_dependency_is_locked_to_its_bytes(name: str) -> None:
    text = (ROOT / name).read_text("utf-8").replace(" \\\n", "")
    pattern = r"[A-Za-z0-9._-]+(?:\[[a-z,]+\])?==[^\s;]+(?: ; [^#]+?)?(?: +--hash=sha256:[0-9a-f]{64})+"
    for line in text.splitlines():
        assert re.fullmatch(pattern, line), line[:100]


def test_make_next_tries_every_dependency_without_its_bounds() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    tried = newest.requirements(text)
    assert {"aiohttp", "coverage[toml]", "redis"} <= set(tried)
    assert not [each for each in tried if re.search("[<>=~]", each.partition(";")[0])]


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    paths = re.compile(r"(?<![\w.*])/(?:work|root|home|Users)/\w")
    found = {str(path.relative_to(ROOT)): paths.findall(path.read_text("utf-8")) for path in tracked()}
    assert "Makefile" in found
    assert not {name for name, hits in found.items() if hits}
