"""What the README and docs/ say: every command is run, every configuration loaded, every name looked up."""

import asyncio
import inspect
import os
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.rows import ROWS
from oauth_proxy import (
    bearers,
    believed,
    capacity,
    cli,
    cookies,
    errors,
    forms,
    lingering,
    oauth,
    outlet,
    paths,
    reading,
    recent,
    return_addresses,
    server,
    turns,
    typed,
)
from oauth_proxy.demo.dialects import V4
from oauth_proxy.headers import Fields, ToolHeaders
from oauth_proxy.memory import sqlite
from oauth_proxy.own_routes import ROUTES
from oauth_proxy.process import crew, succession
from oauth_proxy.provider import calls as provider
from oauth_proxy.provider import shares as provider_shares
from oauth_proxy.session import attempts, long_addresses
from oauth_proxy.settings import DEFAULT_HEADERS, OUR_ROUTES, Limits, Settings, UpstreamSettings, parse
from oauth_proxy.upstream import ends, relay, whole
from oauth_proxy.upstream.shares import Shares
from oauth_proxy.upstream.upstream import Upstream
from tests.support.browser import Visitor
from tests.support.command import started
from tests.support.metrics import families, named_metrics
from tests.support.places import ROOT
from tests.support.proxy import Stage, a_secret, free_port

README = ROOT / "README.md"
STRUCK = ROOT / "docs" / "struck-headers.md"
OPERATING = ROOT / "docs" / "operating.md"
CAPACITY = ROOT / "docs" / "capacity.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
ENVIRON = {
    "FRAMEIO_CLIENT_ID": "an-id",
    "FRAMEIO_CLIENT_SECRET": "a-secret",
    "FRAMEIO_WEBHOOK_SECRET": "another-secret",
    "OAUTH_PROXY_SECRET": a_secret(),
    "OAUTH_PROXY_SECRET_BEFORE": a_secret(),
}
NOT_RUN = {
    "make demo": "does not end; tests/test_cli_serving.py runs what it runs",
    "make test": "runs this",
    "python3 -m venv /opt/oauth-proxy": "outside of the test's folder; tests/test_dockerfile.py does the same",
    "/opt/oauth-proxy/bin/pip install --require-hashes -r requirements.txt": "downloads",
    "/opt/oauth-proxy/bin/pip install --no-deps .": "downloads; tests/test_dockerfile.py installs what it builds",
    "oauth-proxy check --online oauth-proxy.yaml": "asks Frame.io; tests/test_online.py asks an emulated one",
    "oauth-proxy run oauth-proxy.yaml": "does not end; tests/test_cli_serving.py",
    "useradd --system --shell /usr/sbin/nologin oauth-proxy": "the machine's",
    "install -d -m 0750 -g oauth-proxy /etc/oauth-proxy": "the machine's",
    "install -m 0640 -g oauth-proxy config.yaml /etc/oauth-proxy/config.yaml": "the machine's",
    "install -m 0600 secrets.env /etc/oauth-proxy/environment": "the machine's",
    "install -m 0644 config/oauth-proxy.service /etc/systemd/system/": "the machine's",
    "install -m 0644 config/oauth-proxy.socket /etc/systemd/system/": "the machine's",
    "systemctl daemon-reload": "the machine's",
    "systemctl enable --now oauth-proxy": "the machine's",
    "systemctl enable --now oauth-proxy.socket": "the machine's",
    "systemctl start oauth-proxy": "the machine's",
    "systemctl status oauth-proxy": "the machine's",
    "systemctl stop oauth-proxy": "the machine's",
    "docker build -t oauth-proxy .": "needs Docker; tests/image does without",
    "docker run --read-only --cap-drop ALL --stop-timeout 60 -p 4180:4180 --env-file secrets.env "
    "-v ./config.yaml:/etc/oauth-proxy/config.yaml:ro oauth-proxy": "needs Docker; tests/image does without",
}
"""Commands that are shown and cannot be run here, and why."""


def blocks(document: Path, language: str) -> list[str]:
    """The code blocks of one language."""
    text = document.read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(document: Path) -> list[str]:
    """Every command a document shows: its sh blocks hold one a line."""
    return [line for block in blocks(document, "sh") for line in block.splitlines()]


def trees(document: Path) -> list[dict[str, Any]]:
    """Every configuration a document shows, completed by the README's first one where it is only a part."""
    whole: dict[str, Any] = yaml.load(blocks(README, "yaml")[0], yaml.BaseLoader)  # noqa: S506 it makes only text
    parts = [yaml.load(block, yaml.BaseLoader) for block in blocks(document, "yaml")]  # noqa: S506
    return [{**whole, **part} for part in parts]


def loaded(tree: dict[str, Any], folder: Path) -> Settings:
    return parse(shown(tree, folder), filename="shown.yaml", environ=ENVIRON, folder=folder)


def shown(tree: dict[str, Any], folder: Path) -> str:
    """The file of such a configuration; systemd's StateDirectory is the folder here."""
    return yaml.safe_dump(tree).replace("/var/lib/oauth-proxy", str(folder))


def table(document: Path, heading: str) -> list[list[str]]:
    """The rows of the first table after a heading, a list of cells each, without its own head."""
    section = re.split(r"^#+ ", document.read_text("utf-8").partition(f"# {heading}\n")[2], flags=re.MULTILINE)[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    assert len(rows) > 2, heading
    return [[cell.strip() for cell in row] for row in rows[2:]]


def named(cell: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def test_every_command_that_the_readme_shows_runs_in_the_order_shown(tmp_path: Path) -> None:
    runs(README, tmp_path)


async def test_every_command_for_operators_runs_beside_a_proxy_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    whole = {key: value for tree in trees(OPERATING) for key, value in tree.items()}
    places = {"listen": f"127.0.0.1:{free_port()}", "admin": {"listen": f"127.0.0.1:{free_port()}"}}
    file = tmp_path / "oauth-proxy.yaml"
    file.write_text(shown({**whole, **places}, tmp_path))
    async with started("run", file, sign=b"serving"):
        await asyncio.to_thread(runs, OPERATING, tmp_path)


def runs(document: Path, folder: Path) -> None:
    """Run what a document shows, in the order shown; none of it fails."""
    script = [line for line in commands(document) if line not in NOT_RUN]
    assert script
    done = subprocess.run(  # noqa: S603 the documents' own commands
        ["bash", "-euo", "pipefail", "-c", "\n".join(script)],  # noqa: S607 whichever bash there is
        cwd=folder,
        env={**os.environ, **ENVIRON, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_what_is_not_run_is_shown_all_the_same() -> None:
    shown = {line for document in DOCUMENTS for line in commands(document)}
    assert NOT_RUN.keys() <= shown


def test_the_emulated_frame_io_is_where_operating_says_it_is() -> None:
    shown = OPERATING.read_text("utf-8").partition("# Before the app is registered\n")[2].partition("\n#")[0]
    paths = re.findall(r"_url: http://127\.0\.0\.1:4190(\S+)", shown)
    assert paths == [V4.authorize, V4.token, V4.revoke]
    assert "-m oauth_proxy.demo --api v4" in shown


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    text = "\n".join(document.read_text("utf-8") for document in DOCUMENTS)
    found = set(re.findall(r"(?:^|`)make ([a-z0-9-]+)", text, re.MULTILINE))
    assert {"demo", "test", "check"} <= found <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_configuration_that_is_shown_loads(document: Path, tmp_path: Path) -> None:
    (tmp_path / "freelancers.txt").write_text("sam@partner.example.org\n")
    (tmp_path / "logo.svg").write_text("<svg/>")
    for tree in trees(document):
        assert loaded(tree, tmp_path).public_url == "https://review.example.com"


def test_the_readmes_first_configuration_needs_no_other() -> None:
    assert not {"public_url", "frameio", "session", "upstreams", "access"} - trees(README)[0].keys()


async def test_every_route_that_is_shown_answers_and_no_other(stage: Stage, visitor: Visitor) -> None:
    shown = {named(row[0])[0].partition("?")[0] for row in table(README, "The proxy's own routes")}
    for route in shown:
        status = (await visitor.get(stage.url + route)).status
        assert status < 500, route
        assert status != errors.NotFound.status, route
    assert (await visitor.get(f"{stage.url}{OUR_ROUTES}another")).status == errors.NotFound.status
    assert shown == set(ROUTES)


def test_every_command_and_option_that_is_named_exists() -> None:
    text = "\n".join(document.read_text("utf-8") for document in DOCUMENTS)
    used = re.findall(r"(?:^|[`/ ])oauth-proxy ([a-z]+)((?: [^`\n]*)?)", text, re.MULTILINE)
    known = {
        name: {each for option in command.params for each in option.opts}
        for name, command in cli.main.commands.items()
    }
    found = [(name, options) for name, options in used if name in known]
    assert {name for name, _ in found} >= {"run", "check", "init", "secret", "health", "revoke", "sessions"}
    for name, rest in found:
        ours = rest.partition(" -- ")[0]  # after it stand another program's flags
        assert set(re.findall(r"--[a-z-]+", ours)) <= {*known[name], "--help"}, (name, rest)


def test_the_headers_that_are_said_to_be_struck_are_struck() -> None:
    [paragraph] = re.findall(r"^Struck from .*?\n\n", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    names = [
        name.replace("…", "Anything") for name in named(paragraph) if name not in ("_", "-", ".", "Connection")
    ]
    assert len(names) == 14
    headers = ToolHeaders(DEFAULT_HEADERS)
    for name in [*names, *DEFAULT_HEADERS]:
        for form in (name, name.lower(), name.upper().replace("-", "_")):
            assert headers.crossing(Fields([(form.encode(), b"a visitor's"), (b"Accept", b"*/*")])) == [
                (b"Accept", b"*/*")
            ]


def test_the_page_of_struck_headers_is_the_table_that_strikes_them() -> None:
    rows = [(tuple(named(struck)), by) for struck, by in table(STRUCK, "Headers that never cross")]
    shown = [(tuple(name.lower().replace("…", "*").replace("$", "-") for name in names), by) for names, by in rows]
    assert shown == list(believed.table())
    headers = ToolHeaders({})
    for name in chain.from_iterable(names for names, _ in rows):
        sent = name.replace("…", "x")
        assert not headers.crossing(
            Fields([(form.encode(), b"forged") for form in (sent, sent.replace("-", "_"))])
        )


async def test_the_headers_that_are_said_to_be_received_are_received(stage: Stage, visitor: Visitor) -> None:
    answer = await visitor.login(f"{stage.url}/echo")
    received = {name for name, _ in (await answer.json())["headers"]}
    shown = {named(row[0])[0] for row in table(README, "What the tool receives")}
    assert shown - received == {"X-Forwarded-Prefix", "Cookie"}, "no prefix and no cookie in this request"
    assert {name for name in received if name.startswith(("X-", "Auth"))} <= shown


async def test_the_metrics_are_those_that_are_shown(stage: Stage) -> None:
    shown = {named(row[0])[0].removesuffix("_total") for row in table(OPERATING, "Metrics")}
    known = await families(stage)
    assert shown == known
    assert named_metrics(OPERATING.read_text("utf-8")) <= {*known, "oauth_proxy_sqlite_up"}, (
        "in its other sentences"
    )


def test_the_limits_are_those_that_are_shown() -> None:
    limits = {row[0]: row[1] for row in table(OPERATING, "Limits")}
    upstream = inspect.signature(Upstream).parameters
    most, most_tunnels = upstream["limit"].default, upstream["most_tunnels"].default
    assert limits == {
        "Cookies in one request, ours among them": f"{cookies.MOST_PAIRS}",
        "Request line": f"{reading.LONGEST_LINE // 1024} KiB",
        "One header line": f"{reading.LONGEST_FIELD // 1024} KiB",
        "All headers": f"{reading.LONGEST_FIELDS // 1024} KiB in {reading.MOST_FIELDS} lines",
        "Connections of visitors": "`limits.connections`",
        "Connections from one address": "half of them",
        "Session": f"{cookies.MOST_PIECES} cookies of {cookies.PIECE_BYTES} bytes",
        "Idle connection, half a request's head": f"{server.HEAD_DEADLINE:.0f} s",
        "Visitor who stops sending, or taking, a body": f"{relay.STALL:.0f} s",
        "Connecting to the tool": f"{upstream['connect_timeout'].default:.0f} s",
        "Tool's silence": f"`timeout`, {UpstreamSettings.model_fields['timeout'].default:.0f} s",
        "Body that comes slowly": (
            f"`limits.body_rate`, {Limits().body_rate} bytes a second over {relay.STALL:.0f} s"
        ),
        "Connections to one tool": f"{most}, and {most_tunnels} WebSockets",
        "One visitor's share of them: a session's, a program's, a stranger's address (IPv6: /64)": (
            f"{Shares(most, 0).each}, and {Shares(most_tunnels, 0).each} WebSockets"
        ),
        "One call to Frame.io": f"{provider.DEADLINE:.0f} s",
        "Body of a call at one of `webhooks`": f"{whole.LONGEST >> 20} MiB, {whole.DEADLINE:.0f} s",
        "All of these that are held at a time": (
            f"{whole.MOST_HELD >> 20} MiB, {whole.MOST_OF_ONE >> 20} MiB of one address (IPv6: /64)"
        ),
        "Text of a form that a page gives back, if its POST fails": (
            f"{forms.LONGEST >> 10} KiB in {forms.MOST_ENTRIES} fields, {typed.DEADLINE:.0f} s; "
            f"{forms.LONGEST_WITH_FILES >> 20} MiB with its files"
        ),
        "All of these that are held at a time, with their pages": (
            f"{typed.MOST_HELD >> 20} MiB, {typed.MOST_OF_ONE >> 20} MiB of one address (IPv6: /64)"
        ),
        "Rows of refusals and failures on the status page": (
            f"{recent.MOST_ROWS} of strangers and {recent.MOST_ROWS} others, {recent.MOST_OF_KIND} alike"
        ),
        "Lines of the log that nobody reads": f"{outlet.MOST_WAITING >> 20} MiB",
        "What workers share without a store, in memory": (
            f"{sqlite.MOST_BYTES >> 20} MiB, or half of the room where it lies"
        ),
        "Sign of life of a worker": f"{crew.SILENCE:.0f} s",
        "Workers of earlier configurations, after reloads": f"{succession.MOST_LEAVING} generations",
        "Requests sent before the last response, bodies in chunks that are slow to parse "
        f"(over {turns.SLOW * 1000:g} ms)": f"of all that wait, one every {turns.PAUSE * 1000:g} ms",
        "Closing a WebSocket: the tool's frame under way; an answer to our Close frame": (
            f"{ends.FRAME_ENDS:.0f} s; {ends.ANSWER:.0f} s"
        ),
        "Wrong tokens from one address": f"{bearers.MOST_WRONG}, and one more every {bearers.PAUSE:.0f} s",
        "A login, from leaving to coming back": f"{oauth.ATTEMPT_LIFETIME // 60} min",
        "What a visitor still sends when the answer has been given": (
            f"{lingering.SILENCE:.0f} s without a byte, {lingering.LONGEST:.0f} s in all"
        ),
        "Open logins of one browser": f"{attempts.MOST}",
        "Address to come back to after a login": f"{paths.LONGEST_RETURN >> 10} KiB",
        "Form that begins a login, with an address that is too long for a URL": (
            f"{return_addresses.LONGEST_FORM >> 10} KiB"
        ),
        "Addresses of logins in progress that are too long for a `state`": (
            f"{long_addresses.MOST}, and {long_addresses.MOST_OF_ONE} of one address (IPv6: /64)"
        ),
    }


def test_the_capacity_that_is_told_is_the_codes_and_each_row_of_the_benchmark_exists() -> None:
    text = " ".join(CAPACITY.read_text("utf-8").split())
    shares = provider_shares.Shares()
    kinds = ("logins", "refreshes", "profiles", "programs", "revocations")
    counts = [getattr(shares, kind).at_once for kind in kinds]
    told = re.findall(r"At the same time (\d+) \w+, (\d+) \w+, (\d+) \w+, (\d+) [\w' ]+ and (\d+)", text)
    assert told == [tuple(map(str, counts))]
    assert f"up to {provider_shares.PATIENCE:.0f} seconds" in text
    assert f"`LimitNOFILE={capacity.RESERVE + 2 * capacity.MOST}`" in text
    for row in re.findall(r"--row '?([^'\"]+?)'?\"", text):
        assert any(row in each.name for each in ROWS), row
