"""What a release is made of: a version that is the tag's, and a wheel that anybody can build again as it is."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from packaging.version import Version

from tests.support.places import ROOT

SOURCES = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "config",
    "oauth_proxy",
    ".gitattributes",
    ".git_archival.txt",
)
"""What a wheel is built from, and what git writes into an archive."""


def headings() -> list[str]:
    return re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)


def run(folder: Path, *command: str, **environ: str) -> str:
    """Run a command in that folder, as on a machine where git knows nobody; what it said."""
    nobody = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "PYTHONPATH": ""}
    done = subprocess.run(  # noqa: S603
        command, cwd=folder, env={**os.environ, **nobody, **environ}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com", "-c", "tag.gpgSign=false")
    return run(folder, "git", *who, *words)


def checkout(folder: Path, tag: str | None = None) -> Path:
    """A repository of its own with our sources in one commit, which may be tagged."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "everything")
    if tag:
        git(folder, "tag", tag)
    return folder


def version(folder: Path, **environ: str) -> str:
    return run(folder, sys.executable, "-m", "hatchling", "version", **environ)


def wheel(folder: Path, umask: int = 0o022, **environ: str) -> tuple[str, str]:
    """Build one there; its name, and the SHA-256 of its bytes."""
    before = os.umask(umask)
    try:
        run(folder, sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "built", **environ)
    finally:
        os.umask(before)
    [path] = (folder / "built").glob("*.whl")
    return path.name, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkout(tmp_path_factory.mktemp("here") / "one", "v9.8.7")


def test_two_builds_make_one_hash(tagged: Path, tmp_path: Path) -> None:
    other = checkout(tmp_path / "somewhere" / "else", "v9.8.7")
    for path in other.rglob("*.py"):
        path.chmod(0o660)
        os.utime(path, (10**9, 10**9))
    first = wheel(tagged, TZ="UTC", PYTHONHASHSEED="1", LANG="C.UTF-8")
    assert first[0] == "frameio_oauth_proxy-9.8.7-py3-none-any.whl"
    assert wheel(other, umask=0o077, TZ="Pacific/Auckland", PYTHONHASHSEED="2", LANG="C") == first


def test_a_wheel_that_is_built_from_the_source_archive_is_the_same(tagged: Path, tmp_path: Path) -> None:
    run(tagged, sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path))
    [archive] = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")
    assert wheel(tmp_path / archive.name.removesuffix(".tar.gz")) == wheel(tagged)


def test_the_version_is_the_tags_and_between_tags_it_says_which_commit(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "one", "v9.8.7")
    assert version(folder) == "9.8.7"
    git(folder, "commit", "-q", "--allow-empty", "-m", "one more")
    commit = git(folder, "rev-parse", "--short", "HEAD")
    assert re.fullmatch(rf"9\.8\.8\.dev1\+g{commit}\w*", version(folder))


def test_without_git_the_version_is_what_one_says_and_an_archive_of_a_tag_knows_it(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "one", "v9.8.7")
    (tmp_path / "archive").mkdir()
    git(folder, "archive", "-o", str(tmp_path / "it.tar"), "HEAD")
    with tarfile.open(tmp_path / "it.tar") as opened:
        opened.extractall(tmp_path / "archive", filter="data")
    assert version(tmp_path / "archive") == "9.8.7"
    for name in (".git", ".git_archival.txt", ".gitattributes"):  # as in the image's build
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    told = "SETUPTOOLS_SCM_PRETEND_VERSION"
    assert version(folder, **{told: "1.2.3"}) == "1.2.3"
    assert version(folder, **{told: ""}) == "0.0", "a docker build without VERSION"


def test_the_changelogs_headings_are_versions_newest_first() -> None:
    versions = [Version(each) for each in headings()]
    assert versions == sorted(set(versions), reverse=True)


def test_every_tag_is_in_the_changelog_and_that_of_this_commit_on_top() -> None:
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        return  # an archive has no tags
    named = {f"v{each}" for each in headings()}
    assert set(git(ROOT, "tag", "--list", "v*").split()) <= named
    assert set(git(ROOT, "tag", "--list", "v*", "--points-at", "HEAD").split()) <= {f"v{headings()[0]}"}
