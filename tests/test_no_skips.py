import pytest

pytest_plugins = ["pytester"]

TESTS = """
    import pytest

    @pytest.fixture
    def browser():
        pytest.skip("no chromium")

    def test_passes(): pass
    def test_skips_itself(): pytest.skip("no nginx")
    def test_needs_what_is_not_there(browser): pass
    @pytest.mark.skip(reason="not today")
    def test_is_marked(): pass
    @pytest.mark.xfail(strict=True)
    def test_is_known_to_fail(): assert False
"""


@pytest.fixture(autouse=True)
def _its_loop_scope(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml('[tool.pytest.ini_options]\nasyncio_default_fixture_loop_scope = "function"')


def test_a_skipped_test_fails_and_names_its_reason(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_inprocess("-p", "tests.no_skips")
    result.assert_outcomes(passed=1, failed=1, errors=2, xfailed=1)
    for reason in ("no nginx", "no chromium", "not today"):
        result.stdout.fnmatch_lines([f"*{reason}. Nothing is skipped here."])


def test_a_module_that_skips_itself_is_an_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest\n\npytest.importorskip('no_such_module')")
    result = pytester.runpytest_inprocess("-p", "tests.no_skips")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no_such_module*Nothing is skipped here."])


def test_elsewhere_a_skip_is_a_skip(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)
    pytester.runpytest_inprocess().assert_outcomes(passed=1, skipped=3, xfailed=1)
