"""Every case that fuzzing began with or ever found, played again; and any other bytes for a moment."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

CASES = sorted((Path(__file__).parent / "cases").glob("*/*"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}-{case.name}")
def test_what_was_found_once_is_found_no_more(case: Path) -> None:
    TARGETS[case.parent.name](case.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.one_of(st.binary(max_size=200), st.text(max_size=100).map(str.encode)))
def test_a_few_bytes_of_any_kind(name: str, data: bytes) -> None:
    TARGETS[name](data)


def test_every_target_says_what_is_true_of_it_and_has_cases_to_begin_with() -> None:
    assert {case.parent.name for case in CASES} == TARGETS.keys()
    assert all(re.search(r"\.$", target.__doc__ or "") for target in TARGETS.values())
