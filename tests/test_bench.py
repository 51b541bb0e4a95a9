"""The arithmetic of `make bench`; how fast anything is, no test asks."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import mix
from bench.measure import Load, cpu_ticks, memory, middle, parent, parse_wrk, ratio
from bench.peers import Certificate, World
from bench.programs import Program
from bench.stage import SITE, Column
from bench.table import Results, Target, number, table
from bench.visitor import Visitor, first_button
from oauth_proxy.demo.people import EDITOR, REVIEWER, App
from oauth_proxy.demo.signin import page
from tests.support.places import ROOT
from tests.support.proxy import on_stage

WRK = """Running 2s test @ http://127.0.0.1:8080/small
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.60ms    1.20ms  25.00ms   93.00%
    Req/Sec    22.00k     1.90k   25.00k    75.00%
  Latency Distribution
     50%    0.95ms
     75%    1.62ms
     90%    2.90ms
     99%    1.05s
  44000 requests in 2.00s, 15.40MB read
Requests/sec:  22000.50
Transfer/sec:      7.70MB
"""
STAT = "71 (a (very) odd name) S 70 71 71 0 -1 4194560 9 8 7 6 250 50 11 12 20 0 1 0 4711 1000 200\n"
STATUS = "Name:\tproxy\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n"


def test_wrk_is_understood_whatever_unit_it_takes() -> None:
    assert parse_wrk(WRK) == Load(requests=44_000, rate=22_000.5, p50=0.00095, p99=1.05)


@pytest.mark.parametrize(
    "complaint", ["  Non-2xx or 3xx responses: 7\n", "  Socket errors: connect 0, read 3, write 0, timeout 0\n"]
)
def test_a_run_in_which_requests_failed_has_no_speed(complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint.split()[0]):
        parse_wrk(WRK.replace("Requests/sec", f"{complaint}Requests/sec"))


def test_words_that_are_not_wrk_s_are_refused() -> None:
    with pytest.raises(ValueError, match="wrk did not say"):
        parse_wrk("unable to connect")


def test_a_process_with_an_odd_name_has_its_parent_and_its_cpu_time() -> None:
    assert parent(STAT) == 70
    assert cpu_ticks(STAT) == 300


def test_memory_is_told_in_bytes_now_and_at_the_peak() -> None:
    assert memory(STATUS, "VmRSS") == 1024 * 1024
    assert memory(STATUS, "VmHWM") == 2048 * 1024
    assert memory("Name:\tended\n", "VmRSS") == 0


def test_a_ratio_compares_within_a_round_and_is_the_median_of_the_rounds() -> None:
    ours = [{"rate": 10.0}, {"rate": 20.0}, {"rate": 40.0}]
    theirs = [{"rate": 5.0}, {"rate": 40.0}, {"rate": 60.0}]
    assert middle(theirs, "rate") == 40.0
    assert ratio(theirs, ours, "rate") == 1.5
    assert ratio(theirs, [{"rate": 0.0}] * 3, "rate") is None


def test_the_table_names_what_failed_and_gives_no_number_for_it() -> None:
    results = Results(["ours", "theirs", "broken"])
    results.add("a row", "ours", {"rate": 10.0})
    results.add("a row", "theirs", {"rate": 15.0})
    results.add("a row", "broken", {"rate": 99.0})
    results.fail("a row", "broken", "it fell over in the second round")
    line = table(results).splitlines()[2]
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        "a row: rate",
        "10.0",
        "15.0 (1.50 ×)",
        "failed",
    ]


def test_a_target_says_by_how_much_it_is_missed() -> None:
    results = Results(["ours", "theirs"])
    results.add("a row", "ours", {"rate": 30.0, "wait": 12.0})
    results.add("a row", "theirs", {"rate": 20.0, "wait": 10.0})
    fast = Target("speed", "a row", "rate", at_least=2.0, column="theirs")
    assert fast.found(results) == pytest.approx(1.5)
    assert fast.verdict(1.5) == "missed by 25%"
    assert fast.verdict(2.0) == "held"
    assert fast.verdict(None) == "not measured"
    assert Target("wait", "a row", "wait", at_most=10.0).verdict(12.0) == "missed by 20%"


@pytest.mark.parametrize(
    ("value", "shown"), [(12345.6, "12,346"), (99.94, "99.9"), (1.234, "1.23"), (0.01234, "0.0123")]
)
def test_numbers_keep_the_digits_that_matter(value: float, shown: str) -> None:
    assert number(value) == shown


def test_the_command_explains_itself() -> None:
    command = [sys.executable, "-m", "bench", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    assert "--ratio" in done.stdout


def a_column(folder: Path, port: int, *lines: str) -> Column:
    program = Program([], port=port, core=0, log=folder / "log")
    files = Certificate(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
    return Column("ours", program, World(1, 2, 3, folder, files), None, port, lines)


def test_a_page_of_the_mix_has_forty_assets_of_which_some_have_lines_of_their_own(tmp_path: Path) -> None:
    column = a_column(tmp_path, 8080, "Cookie: session=1")
    heads = [head.decode() for head in mix.page_with_assets(column, 7, [f'"{name}"' for name in SITE])]
    assert len(heads) == 1 + 40
    assert all(head.endswith("\r\n\r\n") and "\r\nCookie: session=1\r\n" in head for head in heads)
    assert len({head.partition(" HTTP/1.1")[0] for head in heads}) == 41
    lines = {head.partition("\r\n")[2] for head in heads}
    assert len(lines) == 1 + len(SITE) + 2, "the pictures have the same ones, and so have the calls"
    others = {
        head.decode().partition("\r\n")[2] for head in mix.page_with_assets(column, 8, ['"etag"'] * len(SITE))
    }
    assert not lines & others
    assert {line for head in heads for line in re.findall("Referer: (.*)\r", head)} == {
        "http://localhost:8080/review/6",
        "http://localhost:8080/review/7",
    }


def test_the_first_button_of_a_login_s_pages_is_pressed() -> None:
    app = App("bench", "secret", ("http://localhost/oauth2/callback",))
    login = page("login", app=app, people=[EDITOR, REVIEWER], csrf="abc").text or ""
    assert first_button(login) == {"csrf": "abc", "choice": f"person:{EDITOR.id}"}
    consent = page("consent", app=app, person=EDITOR, scope=[], csrf="abc", lasts=True).text or ""
    assert first_button(consent) == {"csrf": "abc", "choice": "allow"}


async def test_the_benchmark_signs_in_as_a_browser_does(tmp_path: Path) -> None:
    async with on_stage() as stage, Visitor(str(Certificate.issue(tmp_path).authority)) as visitor:
        assert (await visitor.follow(f"{stage.url}/open")).status == 401
        answer = await visitor.login(f"{stage.url}/echo/here")
        assert (answer.status, str(answer.url)) == (200, f"{stage.url}/echo/here")


def test_the_benchmark_stands_without_the_tests() -> None:
    for file in (ROOT / "bench").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] == "tests"], file.name
