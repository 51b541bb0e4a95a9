"""The image: built by buildah on bases that mmdebstrap makes, run by runc as `docker run --read-only` runs it."""

import json
import os
import shutil
import ssl
import subprocess
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import started
from tests.support.places import ROOT

ENVIRONMENT = "opt/oauth-proxy"
"""Where the proxy and its packages lie in the image."""
CONFIGURATION = "/etc/oauth-proxy/config.yaml"
TOOLS = ("buildah", "mmdebstrap", "runc")
"""Debian's packages of these names."""

# As much as python:3.11-slim has of what the proxy uses: libstdc++ is frozenlist's, which is slower without it.
_PYTHON = ("python3-minimal", "libpython3-stdlib", "python-is-python3", "ca-certificates", "libstdc++6")
_BASES: Mapping[str, Sequence[str]] = {
    "base": _PYTHON,
    "builder": (*_PYTHON, "python3-pip", "dash", "coreutils", "findutils", "binutils"),
}
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_ROOM = 2 * 1024**3
_SHOWN = 4000
_HOOKS = "/usr/share/mmdebstrap/hooks/merged-usr"
# No script of a package runs in a base, which takes seconds instead of a minute; so this one's work is done here.
_TRUST = f'cat "$1"/usr/share/ca-certificates/mozilla/*.crt >"$1"{_CERTIFICATES}'


class ToolFailed(Exception):
    """A command ended with another exit code than 0; what it was, and the end of what it said."""


@dataclass(frozen=True)
class Image:
    """A built image. `root` is where its files are mounted, `config` what the Dockerfile says of running it."""

    root: Path
    config: Mapping[str, Any]

    @property
    def command(self) -> list[str]:
        """What runs where nothing else is asked for."""
        return [*self.config["Entrypoint"], *self.config["Cmd"]]

    @property
    def health(self) -> list[str]:
        """The health check's command."""
        command: list[str]
        kind, *command = self.config["Healthcheck"]["Test"]
        assert kind == "CMD", "without a shell: the image needs none"
        return command

    def size(self, folder: str = "") -> int:
        """Bytes on the disk, as du counts them, of a folder or of everything."""
        every = [self.root / folder, *(self.root / folder).rglob("*")]
        return sum(512 * path.lstat().st_blocks for path in every)


def needs_tools() -> None:
    """Skip the test, and say for want of what, where no image can be built or run."""
    if os.geteuid() != 0:
        pytest.skip("building an image and running it read-only as another user needs root")
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        pytest.skip(f"not installed: apt-get install {' '.join(missing)}")
    if not _suite():
        pytest.skip("the base is made of the Debian that this is, and this is none")


def swift(otherwise: Path) -> Path:
    """A folder in memory, if there is room: packages sync each of their files, and a disk takes long for that."""
    memory = Path("/dev/shm")  # noqa: S108 only root gets here, and makes a folder of its own in it
    return memory if memory.is_dir() and shutil.disk_usage(memory).free > _ROOM else otherwise


@contextmanager
def built(folder: Path) -> Iterator[Image]:
    """The image of this checkout, mounted; afterwards nothing of it is left in the folder."""
    store = _Store(folder)
    try:
        with ThreadPoolExecutor() as both:
            list(both.map(store.make_base, _BASES))
        store.build()
        working = store.said("from", "oauth-proxy")
        root = store.said("mount", working)
        config = json.loads(store.said("inspect", "--type", "image", "oauth-proxy"))["Docker"]["config"]
        yield Image(Path(root), config)
    finally:
        store.forget()


class _Store:
    """Images and working containers in a folder of the test's own, whatever the machine has of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._place = folder / "store"
        self._driver = "overlay"
        try:
            self.said("mount", self.said("from", "scratch"))
        except ToolFailed:  # the folder lies on an overlay already, as in a container
            self._driver = "vfs"

    def said(self, *arguments: str | Path) -> str:
        """One buildah command, and what it says."""
        places = ("--root", self._place, "--runroot", self._folder / "run")
        return _said(["buildah", *places, "--storage-driver", self._driver, *arguments])

    def make_base(self, name: str) -> None:
        """An image of a few Debian packages; the builder's has what builds, too."""
        working = self.said("from", "--name", name, "scratch")
        folder = self.said("mount", working)
        how = ["--mode=root", "--variant=extract", f"--hook-dir={_HOOKS}", f"--customize-hook={_TRUST}"]
        _said(["mmdebstrap", *how, f"--include={','.join(_BASES[name])}", _suite(), folder])
        self.said("commit", "--quiet", "--rm", working, f"localhost/{name}")

    def build(self) -> None:
        """The Dockerfile, with those bases; pip trusts whom this machine trusts."""
        trusted = ssl.get_default_verify_paths().cafile or _CERTIFICATES
        pip = self._folder / "pip.conf"
        pip.write_text(f"[global]\ncert = {_CERTIFICATES}\n")
        self.said(
            "build",
            "--isolation=chroot",
            "--format=docker",  # the other one knows no health check
            *("--build-arg", "BASE=localhost/base", "--build-arg", "BUILDER=localhost/builder"),
            *("--volume", f"{trusted}:{_CERTIFICATES}:ro", "--volume", f"{pip}:/etc/pip.conf:ro"),
            *("--tag", "oauth-proxy"),
            ROOT,
        )

    def forget(self) -> None:
        """Unmount and remove everything."""
        self.said("rm", "--all")
        for mounted in (self._place / "overlay", self._place / "vfs"):
            if mounted.is_mount():
                _said(["umount", mounted])
        shutil.rmtree(self._place)


@dataclass(frozen=True)
class Container:
    """A container of the image that is yet to run, by runc's `state` and in a `bundle`."""

    state: Path
    bundle: Path

    @classmethod
    def of(cls, image: Image, folder: Path, *command: str, file: Path | None = None) -> "Container":
        """Read-only, without capabilities, as the image's user; `file` is the configuration, mounted.

        It shares the machine's network, so that it reaches the emulator and a test reaches it.
        """
        container = cls(folder / "state", folder / "bundle")
        shutil.rmtree(container.bundle, ignore_errors=True)
        container.bundle.mkdir()
        _said(["runc", "spec", "--bundle", container.bundle])
        written = container.bundle / "config.json"
        spec = json.loads(written.read_text("utf-8"))
        user, group = (int(number) for number in image.config["User"].split(":"))
        spec["root"] = {"path": str(image.root), "readonly": True}
        spec["process"] |= {
            "terminal": False,
            "user": {"uid": user, "gid": group},
            "args": command or image.command,
            "env": image.config["Env"],
            "cwd": image.config["WorkingDir"] or "/",
            "capabilities": {},
        }
        spec["linux"]["namespaces"] = [each for each in spec["linux"]["namespaces"] if each["type"] != "network"]
        if file is not None:
            mount = {"destination": CONFIGURATION, "source": str(file), "type": "bind", "options": ["bind", "ro"]}
            spec["mounts"].append(mount)
        written.write_text(json.dumps(spec))
        return container

    def said(self) -> str:
        """What the command says, run to its end."""
        return _said([*self._runc(), "run", "--bundle", self.bundle, self._name()])

    @asynccontextmanager
    async def running(self, sign: bytes) -> AsyncIterator[Process]:
        """The process, from the moment it prints `sign`. A signal to it reaches the container's first process."""
        arguments = ("run", "--bundle", self.bundle, self._name())
        try:
            async with started(*arguments, sign=sign, command=self._runc()) as process:
                yield process
        finally:
            _said([*self._runc(), "delete", "--force", self._name()])

    def executed(self, *command: str) -> subprocess.CompletedProcess[str]:
        """One more command in the running container, as `docker exec` and health checks have it."""
        whole = [*self._runc(), "exec", self._name(), *command]
        return subprocess.run(whole, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603

    def _runc(self) -> list[str]:
        return ["runc", "--root", str(self.state)]

    def _name(self) -> str:
        return f"oauth-proxy-{os.getpid()}"


def _suite() -> str:
    """The name of the Debian that this is, or nothing."""
    lines = Path("/etc/os-release").read_text("utf-8").splitlines() if Path("/etc/os-release").exists() else []
    known = dict(line.split("=", 1) for line in lines if "=" in line)
    return known.get("VERSION_CODENAME", "") if known.get("ID") == "debian" else ""


def _said(command: Sequence[str | Path]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)  # noqa: S603
    if done.returncode:
        shown = f"{done.stdout}\n{done.stderr}"[-_SHOWN:]
        raise ToolFailed(f"{' '.join(str(word) for word in command)}\n{shown}")
    return done.stdout.strip()
