"""What one begins with: the first file with the answers that are known, a shell that completes, colours."""

import os
import pty
import shlex
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from tests.support.command import COMMAND, said_here, written
from tests.support.units import PATIENCE

ANSWERS = (
    *("--public-url", "https://review.example.com", "--listen", "127.0.0.1:4199"),
    *("--upstream", "http://127.0.0.1:3000", "--upstream", "/render/=http://127.0.0.1:4000"),
    *("--client-id", "an-app", "--client-secret-file", "app.secret"),
    *("--allow", "*@example.com", "--allow", "account:2f1c7d0e-5b7a-4a52-9d3c-1f6d5c1f4b20"),
    *("--store", "sqlite:sessions.db"),
)


@pytest.mark.parametrize("api", ["v2", "v4"])
def test_with_all_answers_the_file_of_init_is_good_as_it_is(api: str, tmp_path: Path) -> None:
    (tmp_path / "app.secret").write_text("a-secret-of-the-app")
    done = said_here("init", "--api", api, *ANSWERS, "mine.yaml", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    file = tmp_path / "mine.yaml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    checked = said_here("check", "mine.yaml", folder=tmp_path)
    assert checked.returncode == 0, checked.stderr
    settings = yaml.safe_load(checked.stdout)
    assert settings["public_url"] == "https://review.example.com"
    assert settings["listen"] == "127.0.0.1:4199"
    assert {path: tool["url"] for path, tool in settings["upstreams"].items()} == {
        "/": "http://127.0.0.1:3000",
        "/render/": "http://127.0.0.1:4000",
    }
    assert settings["frameio"]["client_id"] == "an-app"
    assert settings["access"]["allow"] == [
        {"email": "*@example.com"},
        {"account": "2f1c7d0e-5b7a-4a52-9d3c-1f6d5c1f4b20"},
    ]
    assert settings["session"]["store"] == f"sqlite:{tmp_path}/sessions.db"
    assert file.read_text().count("#") > 30, "the comments are there"


def test_init_says_what_to_do_next_and_only_what_is_left(tmp_path: Path) -> None:
    (tmp_path / "app.secret").write_text("a-secret-of-the-app")
    nothing = said_here("init", "none.yaml", folder=tmp_path).stdout
    assert "public_url, upstreams, access.allow" in nothing
    assert "FRAMEIO_CLIENT_ID and FRAMEIO_CLIENT_SECRET" in nothing
    everything = said_here("init", *ANSWERS, "my file.yaml", folder=tmp_path).stdout
    assert "https://review.example.com/oauth2/callback" in everything
    assert "FRAMEIO" not in everything
    assert "oauth-proxy check 'my file.yaml' " in everything
    assert max(map(len, (nothing + everything).splitlines())) <= 80
    pkce = said_here("init", "--pkce", "pkce.yaml", folder=tmp_path)
    assert "FRAMEIO_CLIENT_SECRET" not in pkce.stdout
    assert "#client_secret: ${" in (tmp_path / "pkce.yaml").read_text()


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (("--public-url", "review.example.com"), "a URL begins with http:// or https://"),
        (("--public-url", "https://a.example.com/tool"), "(did you mean https://a.example.com?)"),
        (("--listen", "4180"), "(did you mean 127.0.0.1:4180?)"),
        (("--upstream", "localhost:3000"), "(did you mean http://localhost:3000?)"),
        (("--upstream", "/render=http://a"), "a path prefix ends with '/' (did you mean /render/?)"),
        (("--client-id", "your-id"), "this is a placeholder"),
        (("--client-secret-file", "nowhere"), "the file cannot be read: no such file or directory"),
        (("--allow", "*"), "(did you mean everyone?)"),
        (("--allow", "team:2f1c7d0e-5b7a-4a52-9d3c-1f6d5c1f4b20"), "Frame.io v4 tells nothing of teams"),
        (("--allow", 'a: "b\n  - everyone'), "a rule is everyone, or "),
        (("--store", "redis.local:6379"), "(did you mean redis://redis.local:6379/0?)"),
        (("--store", ""), "'session.store' is empty"),
    ],
)
def test_an_answer_that_cannot_be_used_is_told_as_check_tells_it(
    answer: tuple[str, str], sentence: str, tmp_path: Path
) -> None:
    done = said_here("init", *answer, folder=tmp_path)
    [line] = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert line.startswith(f"{answer[0]}: ")
    assert sentence in line
    assert not list(tmp_path.iterdir())


def test_a_file_of_init_that_the_disk_cannot_hold_is_not_left_there_by_half(tmp_path: Path) -> None:
    script = shlex.join([*COMMAND, "init", str(tmp_path / "mine.yaml")])
    done = subprocess.run(  # noqa: S603 our own command, with a limit to the size of files
        ["/bin/bash", "-c", f"trap '' XFSZ; ulimit -f 1; exec {script}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, f"{tmp_path}/mine.yaml cannot be written: File too large\n")
    assert not list(tmp_path.iterdir())


def test_bash_completes_commands_options_values_and_files(tmp_path: Path) -> None:
    assert completed(
        tmp_path,
        "oauth-proxy re",
        "oauth-proxy check --on",
        "oauth-proxy log-level a.yaml w",
        "oauth-proxy run o",
        "oauth-proxy migrate o",
    ) == [["reload", "revoke"], ["--online"], ["warning"], ["FILES"], ["FILES"]]


def completed(folder: Path, *lines: str) -> list[list[str]]:
    """What bash, taught by `completion bash`, offers at the end of each line; FILES is its own offer of files."""
    program = folder / "oauth-proxy"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    program.chmod(0o755)
    script = """
        eval "$(oauth-proxy completion bash)"
        complete -p oauth-proxy | grep -q -- '-F _oauth_proxy_completion' || exit 1
        compopt() { [ "$2" = default ] && printf 'FILES '; }
        for line; do
            COMP_WORDS=($line); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
            _oauth_proxy_completion oauth-proxy
            echo "${COMPREPLY[@]}"
        done
    """
    done = subprocess.run(  # noqa: S603 bash, with our own script
        ["/bin/bash", "--norc", "-c", script, "bash", *lines],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_taught_too(shell: str) -> None:
    done = said_here("completion", shell)
    assert f"_OAUTH_PROXY_COMPLETE={shell}_complete" in done.stdout
    words = {"COMP_WORDS": "oauth-proxy re", "COMP_CWORD": "re" if shell == "fish" else "1"}
    offered = said_here(environ={"_OAUTH_PROXY_COMPLETE": f"{shell}_complete", **words})
    assert {"reload", "revoke"} <= set(offered.stdout.replace(",", " ").split())


@pytest.mark.parametrize(("environ", "has_colours"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_are_for_a_terminal_that_wants_them(
    environ: dict[str, str], has_colours: bool, tmp_path: Path
) -> None:
    file = written(tmp_path)
    here = "".join(f"\n  {key}: http://127.0.0.1:9" for key in ("authorize_url", "token_url", "api_url"))
    file.write_text(file.read_text().replace("api: v2", f"api: v2{here}"))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(  # noqa: S603 our own command
        [*COMMAND, "check", "--online", file],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", **environ},
    )
    os.close(theirs)
    told = b""
    with suppress(OSError):  # Linux, once nobody has the other end
        while piece := os.read(ours, 65536):
            told += piece
    os.close(ours)
    assert process.wait(PATIENCE) == 1
    assert "\N{BALLOT X}".encode() in told
    assert (b"\x1b[31m" in told) is has_colours
    if has_colours:
        assert "\x1b" not in said_here("check", "--online", file).stdout
