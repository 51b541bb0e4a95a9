"""A pytest plugin (`-p tests.no_skips`): where it is loaded, and CI loads it, a skipped test is a failed one."""

from collections.abc import Generator
from typing import Any

import pytest

Steps = Generator[None, Any, Any]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Steps:
    """A test that skips itself or is marked; an expected failure is none, though pytest calls it skipped too."""
    report = yield
    return report if hasattr(report, "wasxfail") else _without_skip(report)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Steps:
    """A module that skips itself as a whole."""
    return _without_skip((yield))


def _without_skip(report: Any) -> Any:
    if report.skipped:
        path, line, reason = report.longrepr
        report.outcome, report.longrepr = "failed", f"{path}:{line}: {reason}. Nothing is skipped here."
    return report
