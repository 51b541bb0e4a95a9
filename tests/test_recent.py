"""The last quarter of an hour: added up, bounded, and no trouble hides another."""

import pytest

from oauth_proxy.recent import MOST_OF_KIND, MOST_ROWS, STEPS, Recent, Row
from oauth_proxy.status.plots import plots, quantile


def a_row(whose: str, status: int = 401, at: float = 1.0, **more: str) -> Row:
    row: Row = {"at": at, "first": at, "count": 1, "status": status, "failure": "", "by": "proxy", "whose": whose}
    return row | {"path": f"/{at:g}"} | more


def test_what_several_tell_of_one_step_is_added_up() -> None:
    recent, worker = Recent(), Recent()
    worker.count(7, {"2xx": 3, "4xx": 1})
    recent.add(worker.take())
    worker.count(7, {"2xx": 2})
    recent.add(worker.take())
    recent.add(worker.take())
    assert recent.told() == {"steps": [[7, {"2xx": 5, "4xx": 1}]], "rows": []}


def test_only_the_last_steps_are_kept() -> None:
    recent = Recent()
    for step in range(5 * STEPS):
        recent.count(step, {"2xx": 1})
    steps = [step for step, _ in recent.told()["steps"]]
    assert steps == list(range(4 * STEPS - 1, 5 * STEPS))


def test_a_storm_of_one_is_one_row_with_its_number_and_its_newest_request() -> None:
    recent = Recent()
    recent.note(a_row("jo", 403, 1.0, user="jo"))
    for moment in range(2, 10_002):
        recent.note(a_row("10.0.0.1", at=float(moment)))
    person, storm = recent.told()["rows"]
    assert person["user"] == "jo"
    assert (storm["count"], storm["first"], storm["path"]) == (10_000, 2.0, "/10001")


def test_a_storm_from_many_addresses_hides_nothing_else_and_stays_small() -> None:
    recent = Recent()
    recent.note(a_row("jo", 403, user="jo"))
    recent.note(a_row("10.9.9.9", 502, upstream="/render/"))
    recent.note(a_row("10.9.9.9", 421))
    for number in range(1000):
        recent.note(a_row(f"10.0.{number}", at=float(number)))
    rows = recent.told()["rows"]
    assert sum(row["status"] == 401 for row in rows) == MOST_OF_KIND
    assert {403, 502, 421} <= {row["status"] for row in rows}


def test_strangers_who_do_everything_at_once_do_not_push_out_what_fails() -> None:
    recent = Recent()
    recent.note(a_row("jo", 502, user="jo"))
    for number in range(5000):
        recent.note(a_row(f"10.0.{number}", 400 + number % 99, at=float(number)))
    rows = recent.told()["rows"]
    assert len(rows) == MOST_ROWS + 1
    assert 502 in {row["status"] for row in rows}


def test_rows_that_come_late_do_not_replace_newer_facts() -> None:
    recent = Recent()
    recent.note(a_row("10.0.0.1", at=9.0))
    recent.note(a_row("10.0.0.1", at=3.0))
    [row] = recent.told()["rows"]
    assert (row["at"], row["first"], row["path"], row["count"]) == (9.0, 3.0, "/9", 2)


def test_durations_are_told_within_their_bucket() -> None:
    assert quantile(0.5, {}) is None
    assert quantile(0.5, {"took 2": 10}) == pytest.approx(0.00375)  # between 2.5 and 5 ms
    assert quantile(0.95, {"took 2": 90, "took 10": 10}) == pytest.approx(1.75)  # between 1 and 2.5 s
    assert quantile(0.95, {"took 15": 1}) == 60.0


def test_the_plots_end_with_the_last_step_that_is_over_and_say_since_when() -> None:
    steps = {100: {"2xx": 30, "5xx": 15, "took 5": 45}, 101: {"2xx": 999}}
    asked, wrong, long = plots(steps, 101, 90)
    assert asked.sentence == "3 a second now, at most 3"
    assert asked.series[0].path == "M590 100.0h10v-60.0h-10z"
    assert wrong.sentence.startswith("60 failed and 0 refused a minute now")
    assert long.sentence == "half of the requests took 38 ms at most, 95 of 100 49 ms"
    assert asked.off == 10 * (STEPS - 11)
    assert [plot.sentence for plot in plots({}, 101, 0)][2] == "nothing was asked for"
