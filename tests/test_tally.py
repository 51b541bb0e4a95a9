import pytest

from tests.support.places import ROOT

pytest_plugins = ["pytester"]

SIGNING_IN = """
    import pytest
    from tests.tally import tried

    def test_a_forged_callback_redeems_nothing_and_begins_no_session():
        assert all(tried(range(1, 6)))

    @pytest.mark.parametrize("form", "abc")
    def test_somebody_elses_callback_signs_nobody_in(form): pass

    def test_that_the_page_does_not_name():
        assert all(tried(range(1, 100)))
"""
REDIRECTS = """
    from tests.tally import tried

    def test_no_rd_leads_off_the_site_after_a_whole_login():
        for form in tried(range(10)):
            assert form < 6
"""


@pytest.mark.parametrize("processes", [[], ["-n", "2"]], ids=["one process", "two"])
def test_each_form_that_was_played_is_counted_in_its_table(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, processes: list[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyprojecttoml('[tool.pytest.ini_options]\nasyncio_default_fixture_loop_scope = "function"')
    pytester.makepyfile(**{"hostile/test_access_options": SIGNING_IN, "hostile/test_redirects": REDIRECTS})
    result = pytester.runpytest_subprocess("-p", "tests.tally", *processes)
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.re_match_lines_random(
        [
            r"Signing in +8 tried +0 got through",
            r"Where a browser is sent +7 tried +1 got through",
            r"all of it +15 tried +1 got through",
        ]
    )
