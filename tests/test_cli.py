"""The commands that end by themselves, as their users meet them: what they print and what they end with."""

import asyncio
import base64
import errno
import json
import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from oauth_proxy import __version__, cli
from oauth_proxy.demo.launch import NotStartedError, launched
from oauth_proxy.process.worker import loop_factory
from tests.support.command import APP, said, said_here, written
from tests.support.places import CONFIG

COMMANDS = (
    "run",
    "reload",
    "check",
    "completion",
    "init",
    "explain",
    "secret",
    "schema",
    "health",
    "log-level",
    "revoke",
    "sessions",
    "demo",
    "migrate",
)
SCHEMA = CONFIG / "schema.json"


@pytest.mark.parametrize("command", [*COMMANDS, None])
def test_every_command_explains_itself(command: str | None) -> None:
    done = said_here(*filter(None, [command]), "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: ")
    assert max(map(len, done.stdout.splitlines())) <= 80
    *_, example = re.split(r"^  Examples?:\n", done.stdout, maxsplit=1, flags=re.MULTILINE)
    for line in example.replace("\\\n", "").splitlines():
        assert f"oauth-proxy {command or ''}" in line
        for known in re.findall(r"oauth-proxy ([a-z-]+)", line):
            assert known in COMMANDS
    if command is None:
        assert re.findall(r"^  ([a-z][a-z-]+)  ", done.stdout, re.MULTILINE) == sorted(COMMANDS)
        assert "...\n" not in done.stdout.partition("Commands:")[2]


def test_the_version_is_told() -> None:
    assert said("--version").stdout == f"oauth-proxy, version {__version__}\n"


SERVER = {"aiohttp.web", "oauth_proxy.app"}
OTHERS = {"cryptography.x509", "oauth_proxy.explain", "oauth_proxy.online", "oauth_proxy.demo.launch"}


@pytest.mark.parametrize("command", ["secret", "--help", "check"])
def test_what_serves_nobody_imports_no_server(tmp_path: Path, command: str) -> None:
    file = [str(written(tmp_path))] if command == "check" else []
    asks = [sys.executable, "-X", "importtime", "-m", "oauth_proxy", command, *file]
    done = subprocess.run(asks, capture_output=True, text=True, check=True)  # noqa: S603 ours
    imported = set(re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert "oauth_proxy.cli" in imported
    assert not imported & SERVER


def test_a_start_imports_all_that_workers_share_nothing_more_and_builds_one_validator(tmp_path: Path) -> None:
    file = written(tmp_path)
    asks = f"""
import os, pathlib, sys
from oauth_proxy import cli, settings
from oauth_proxy.process.worker import preload
from oauth_proxy.settings.fields import Section
preload(settings.load(pathlib.Path({str(file)!r}), os.environ))
print(*sys.modules, *(each.__name__ for each in Section.__subclasses__() if each.__pydantic_complete__))
"""
    done = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True)  # noqa: S603 ours
    known = set(done.stdout.split())
    assert known & (SERVER | OTHERS) == SERVER
    assert {each for each in known if each[0].isupper()} == {"Settings"}


def test_a_package_installed_beside_the_proxy_is_not_shown_its_secrets(tmp_path: Path) -> None:
    """pydantic lets any of them be a plugin, which is called with all that is validated."""
    (tmp_path / "nosy.py").write_text("print('I am here')\nclass Plugin:\n    pass\nplugin = Plugin()\n")
    described = tmp_path / "nosy-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: nosy\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[pydantic]\nnosy = nosy:plugin\n")
    done = said("check", written(tmp_path), environ={"PYTHONPATH": str(tmp_path)})
    assert (done.returncode, "I am here" in done.stdout) == (0, False)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["runn"], "No such command 'runn'"),
        (["run"], "Missing argument 'FILE'"),
        (["run", "no-such.yaml"], "no-such.yaml: the file cannot be read: no such file or directory"),
        (["check", "no-such.yaml"], "no-such.yaml: the file cannot be read: no such file or directory"),
        (["health", "no-such.yaml"], "no-such.yaml: the file cannot be read: no such file or directory"),
        (["init", "--api", "v3", "new.yaml"], "'v3' is not one of 'v4', 'v2'"),
        (
            ["init", "no-such-folder/new.yaml"],
            "no-such-folder/new.yaml cannot be written: No such file or directory",
        ),
        (["demo", "--port", "65536"], "65536 is not in the range 0<=x<=65535"),
    ],
)
def test_what_cannot_be_done_is_a_sentence_and_a_2(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    done = said_here(*arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["check", "run"])
def test_every_problem_of_a_file_is_a_line_with_its_place(command: str, tmp_path: Path) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text(
        "public_url: review.example.com\nfrmaeio: {api: v2}\nsession: {secret: changeme, lifetime: 7}\n"
    )
    done = said(command, "proxy.yaml", folder=tmp_path)
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert all(re.match(r"proxy\.yaml:[1-3]:\d+: \S", line) for line in lines), lines
    assert [line.split(":")[1] for line in lines].count("3") == 2
    assert any(line.startswith("proxy.yaml:2:1: ") and "(did you mean 'frameio'?)" in line for line in lines), (
        lines
    )


def test_of_a_file_that_is_wrong_throughout_the_first_problems_are_told(tmp_path: Path) -> None:
    (tmp_path / "proxy.yaml").write_text("".join(f"key{n}: x\n" for n in range(100)) + "listen: 127.0.0.1:1\n")
    lines = said_here("check", "proxy.yaml", folder=tmp_path).stderr.splitlines()
    assert (len(lines), lines[-1]) == (51, "and 55 more")


def test_check_shows_what_is_in_effect_and_no_secret(tmp_path: Path) -> None:
    file = written(tmp_path)
    secret = yaml.safe_load(file.read_text())["session"]["secret"]
    done = said_here("check", file)
    assert done.returncode == 0
    assert yaml.safe_load(done.stdout)["session"]["lifetime"] == "7d"
    for each in (secret, base64.b64decode(secret).hex(), "the-client-secret"):
        assert each not in done.stdout + done.stderr


def test_check_shows_what_the_terminal_has_no_characters_for_as_question_marks(tmp_path: Path) -> None:
    file = written(tmp_path)
    file.write_text(f"{file.read_text()}pages: {{name: \N{KATAKANA LETTER SU}}}\n", "utf-8")
    done = said("check", file, environ={"PYTHONIOENCODING": "latin-1"})
    assert done.returncode == 0
    assert "name: ?\n" in done.stdout


def test_check_says_what_is_known_of_the_end_of_v2(tmp_path: Path) -> None:
    done = said_here("check", written(tmp_path))
    assert done.stderr.startswith("note: ")
    assert "1 December 2026" in done.stderr


@pytest.mark.parametrize("api", ["v2", "v4"])
def test_the_file_that_init_writes_is_private_and_good_once_the_app_is_known(api: str, tmp_path: Path) -> None:
    done = said_here("init", "--api", api, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    file = tmp_path / "oauth-proxy.yaml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    named = set(re.findall(r"environment variable (\w+) is not set", said_here("check", file).stderr))
    assert named == set(APP)
    assert yaml.safe_load(said_here("check", file, environ=APP).stdout)["frameio"]["api"] == api


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("mine")
    done = said_here("init", file)
    assert (done.returncode, file.read_text()) == (2, "mine")
    assert done.stderr == f"{file} is there already; nothing was written\n"


def test_secret_prints_32_random_bytes_another_time_others() -> None:
    first, second = said_here("secret").stdout, said_here("secret").stdout
    assert first != second
    assert len(base64.b64decode(first, validate=False)) == 32
    assert first.count("\n") == 1


def test_schema_prints_the_committed_one_even_where_nothing_but_ascii_can_be_printed() -> None:
    done = said("schema", environ={"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    assert done.returncode == 0
    assert done.stdout == SCHEMA.read_text("utf-8")
    assert json.loads(done.stdout)["title"] == "oauth-proxy"


@pytest.mark.parametrize(
    "whom", [[], ["--user", ""], ["--user", "jo@studio.example.com", "--all"], ["--user", "j" * 321]]
)
def test_revoke_is_told_whom_exactly_once(whom: list[str], tmp_path: Path) -> None:
    done = said_here("revoke", written(tmp_path), *whom)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--user" in done.stderr.splitlines()[-1]


def test_a_demo_whose_cast_does_not_come_up_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object) -> None:
        raise NotStartedError

    monkeypatch.setattr("oauth_proxy.demo.launch.launched", fails)
    done = CliRunner().invoke(cli.main, ["demo", "--port", "0"])
    assert (done.exit_code, done.stderr) == (2, "the demo's emulated Frame.io did not start\n")


def test_no_other_program_gets_the_demos_port_while_its_cast_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as rival:
        rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        def starting(public_url: str, *_: object) -> None:
            rival.bind(("127.0.0.1", int(public_url.rpartition(":")[2])))

        monkeypatch.setattr("oauth_proxy.demo.launch.launched", starting)
        done = CliRunner().invoke(cli.main, ["demo", "--port", "0"])
    assert isinstance(done.exception, OSError), done
    assert done.exception.errno == errno.EADDRINUSE


def test_a_cast_that_cannot_be_is_told_apart_from_one_that_runs() -> None:
    with pytest.raises(NotStartedError), launched("http://not-this-machine.example", "v2", os.environ):
        pass


def test_where_there_is_no_uvloop_asyncios_own_loop_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory() is asyncio.new_event_loop
