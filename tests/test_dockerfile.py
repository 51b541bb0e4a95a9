"""The image, as far as it can be made without root: its steps, in a folder with only what it copies.

tests/image builds and runs it.
"""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.support.places import ROOT

SITE_PACKAGES = Path(yaml.__file__).parents[1]
Instruction = tuple[str, str]
VERSION = "9.8.7"


def instructions() -> list[Instruction]:
    """Every instruction and its arguments."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert not any(line.endswith("\\") for line in lines), "this reader knows no continued lines"
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def stages() -> tuple[list[Instruction], list[Instruction]]:
    """The instructions of the building stage and of the image itself."""
    listed = instructions()
    [first, second] = [at for at, (word, _) in enumerate(listed) if word == "FROM"]
    assert [word for word, _ in listed[:first]] == ["ARG", "ARG"], "the two bases"
    return listed[first:second], listed[second:]


def of(kind: str, listed: list[Instruction]) -> list[str]:
    return [rest for word, rest in listed if word == kind]


def copied() -> list[tuple[list[str], str]]:
    """What is copied out of the checkout, and to where."""
    return [(rest.split()[:-1], rest.split()[-1]) for rest in of("COPY", stages()[0])]


def test_both_stages_begin_with_the_same_small_image_unless_told_otherwise() -> None:
    base, builder = of("ARG", instructions()[:2])
    assert re.fullmatch(r"BASE=python:3\.1[1-9]-slim", base)
    assert builder == "BUILDER=${BASE}"
    assert of("FROM", instructions()) == ["${BUILDER} AS build", "${BASE}"]


def test_the_image_runs_as_nobody_in_particular_and_without_a_shell() -> None:
    _, image = stages()
    [user] = of("USER", image)
    assert all(int(number) >= 10000 for number in user.split(":"))
    assert of("ENTRYPOINT", image) == ['["oauth-proxy"]']
    assert of("CMD", image) == ['["run", "/etc/oauth-proxy/config.yaml"]']
    assert of("RUN", image) == []
    [check] = of("HEALTHCHECK", image)
    assert check.endswith('CMD ["oauth-proxy", "health", "/etc/oauth-proxy/config.yaml"]')


def test_whatever_is_downloaded_is_hash_locked() -> None:
    installs = [rest for rest in of("RUN", instructions()) if rest.startswith("pip ")]
    assert len(installs) == 3
    assert all("--require-hashes" in rest or "--no-index --no-deps" in rest for rest in installs)


def test_what_builds_the_wheel_is_locked_as_for_the_tests() -> None:
    def locked(name: str) -> set[str]:
        return set(re.findall(r"^\S.*?(?=^\S|\Z)", (ROOT / name).read_text("utf-8"), re.MULTILINE | re.DOTALL))

    assert any(each.startswith("hatchling==") for each in locked("requirements-build.txt"))
    assert locked("requirements-build.txt") <= locked("requirements-dev.txt")


def test_nothing_else_of_the_checkout_reaches_the_build() -> None:
    listed = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in listed if not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == {
        source for sources, _ in copied() for source in sources
    }


def told() -> dict[str, str]:
    """The environment of the build with `--build-arg VERSION=` of this version."""
    [arg], [env] = of("ARG", stages()[0]), of("ENV", stages()[0])
    name, _, value = env.partition("=")
    assert (arg, value) == ("VERSION", "${VERSION}")
    return {**os.environ, name: VERSION}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the image's own command out of what the image copies."""
    folder = tmp_path_factory.mktemp("image")
    source = folder / "src"
    for sources, target in copied():
        for name in sources:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, source / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                (source / target).mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, source / target)
    [build] = [rest for rest in of("RUN", stages()[0]) if "hatchling" in rest]
    command = build.replace("/wheels", str(folder / "wheels")).split()
    assert command[0] == "/build/bin/python"
    subprocess.run([sys.executable, *command[1:]], cwd=source, env=told(), check=True, capture_output=True)  # noqa: S603
    [built] = (folder / "wheels").iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The command of an environment in which that wheel is installed, as the image does it."""
    environment = tmp_path_factory.mktemp("opt")
    steps = [rest for rest in of("RUN", stages()[0]) if "/opt/oauth-proxy" in rest]
    [make, install] = [rest for rest in steps if "venv" in rest or "--no-index" in rest]
    for step in (make, install):  # what is taken away is tests/image's
        known = {"/opt/oauth-proxy": str(environment), "/wheels": str(wheel.parent)}
        words = [known.get(word, word) for word in step.split()]
        module = words[1:] if words[0] == "python" else ["-m", *words]
        subprocess.run([sys.executable, *module], check=True, capture_output=True)  # noqa: S603 the Dockerfile's
    [packages] = environment.glob("lib/python3*/site-packages")
    # The dependencies are those of the tests: the image downloads the same, locked. They come second, because the
    # tests' own installation of the proxy is among them.
    (packages / "dependencies.pth").write_text(f"{SITE_PACKAGES}\n")
    return str(environment / "bin" / "oauth-proxy")


def environ() -> dict[str, str]:
    """The environment without what would lead to another installation than the image's."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def test_the_wheel_holds_everything_that_is_not_python_but_what_translators_work_on(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    package = ROOT / "oauth_proxy"
    files = {
        f"oauth_proxy/{path.relative_to(package).as_posix()}" for path in package.rglob("*") if path.is_file()
    }
    for_translators = {name for name in files if name.endswith((".po", ".pot"))}
    expected = {name for name in files if "__pycache__" not in name} | {"oauth_proxy/demo/demo.yaml"}
    expected -= for_translators
    assert len(for_translators) == 5
    assert {name for name in held if ".dist-info/" not in name} == expected
    assert {"oauth_proxy/py.typed", "oauth_proxy/pages/templates/base.html"} <= expected


def test_the_installed_command_knows_its_version(installed: str, tmp_path: Path) -> None:
    command = [installed, "--version"]
    done = subprocess.run(command, cwd=tmp_path, env=environ(), capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == f"oauth-proxy, version {VERSION}\n"


def test_the_installed_demo_needs_no_checkout(installed: str, tmp_path: Path) -> None:
    with subprocess.Popen(  # noqa: S603 our own command
        [installed, "demo", "--port", "0"],
        cwd=tmp_path,
        env=environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as demo:
        try:
            assert demo.stdout is not None
            assert demo.stdout.readline().startswith("The demo is at http://localhost:")
        finally:
            demo.terminate()
    assert demo.returncode == 0
