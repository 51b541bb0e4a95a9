import io
import json
import logging
from collections.abc import Iterator

import pytest

from oauth_proxy.telemetry import JsonFormatter, StormFilter, TextFormatter, configure_logging, printable


def a_record(message: str, *args: object, level: int = logging.WARNING, **fields: object) -> logging.LogRecord:
    record = logging.LogRecord("oauth_proxy.gateway", level, "", 0, message, args, None)
    record.created = 1_800_000_000.25
    record.__dict__.update(fields)
    return record


def test_a_text_line_says_when_how_grave_who_and_what() -> None:
    line = TextFormatter().format(a_record("tool is %s", "down", status=502, user=None))
    assert line == "2027-01-15T08:00:00.250Z WARNING gateway: tool is down status=502"


def test_a_json_line_is_one_object_with_the_same_facts() -> None:
    line = JsonFormatter().format(a_record("tool is %s", "down", status=502, user=None))
    assert json.loads(line) == {
        "time": "2027-01-15T08:00:00.250Z",
        "level": "warning",
        "logger": "oauth_proxy.gateway",
        "message": "tool is down",
        "status": 502,
    }


@pytest.mark.parametrize("form", [TextFormatter(), JsonFormatter()])
def test_nothing_a_stranger_sends_can_begin_a_line_or_move_the_cursor(form: logging.Formatter) -> None:
    hostile = "a\r\n2027 INFO forged\x1b[2J\x00\x9b\u2028\u2029\udc80b"
    line = form.format(a_record("from %s", hostile, path=hostile))
    assert line.isprintable()
    assert "forged" in line


def test_an_ordinary_accent_stays_readable() -> None:
    assert printable("Zoë 映画") == "Zoë 映画"


@pytest.mark.parametrize("form", [TextFormatter(), JsonFormatter()])
def test_a_fault_of_ours_brings_its_traceback(form: logging.Formatter) -> None:
    record = a_record("a fault of ours", level=logging.ERROR)
    try:
        int("not a number")
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    assert "Traceback" in form.format(record)
    assert "not a number" in form.format(record)


def test_a_storm_of_one_kind_is_held_back_counted_and_hides_no_other_kind() -> None:
    now = 0.0
    storm = StormFilter(lambda: now)
    passed = [storm.filter(a_record("%s", f"path {number}", failure="bad_request")) for number in range(1000)]
    assert sum(passed) == 10
    assert storm.filter(a_record("%s", "tool down", failure="upstream_unreachable"))
    now = 1.5
    late = a_record("%s", "once more", failure="bad_request")
    assert storm.filter(late)
    assert late.__dict__["like_this_held_back"] == 990
    assert not storm.filter(a_record("%s", "and again", failure="bad_request"))
    anybody = [storm.filter(a_record("begun anew", level=logging.INFO)) for _ in range(1000)]
    assert sum(anybody) == 10, "what a stranger can cause is bounded whatever its level"
    assert all(storm.filter(a_record("signed in", level=logging.INFO, user="u1")) for _ in range(1000))


@pytest.fixture
def untouched_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    quiet = logging.getLogger("asyncio").level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("asyncio").setLevel(quiet)


@pytest.mark.usefixtures("untouched_logging")
def test_every_logger_writes_the_chosen_form_to_the_chosen_stream() -> None:
    stream = io.StringIO()
    configure_logging("json", stream)
    logging.getLogger("oauth_proxy.x").info("one")
    logging.getLogger("aiohttp.server").error("two")
    configure_logging("text", stream)
    logging.getLogger("oauth_proxy.x").info("three")
    first, second, third = stream.getvalue().splitlines()
    assert json.loads(first)["message"] == "one"
    assert json.loads(second)["logger"] == "aiohttp.server"
    assert third.endswith("INFO    x: three")
