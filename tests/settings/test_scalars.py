"""Durations and sizes: what is read, what is refused, and that what is written is read again."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_proxy.settings.problems import Refused
from oauth_proxy.settings.scalars import parse_duration, parse_size, write_duration, write_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("90s", 90),
        ("15m", 900),
        ("8h", 28_800),
        ("7d", 604_800),
        ("1h30m", 5400),
        ("1d1ms", 86_400.001),
    ],
)
def test_a_duration_is_read_as_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("30", "30s"),
        ("30 s", "30s"),
        ("30 seconds", "30s"),
        ("5min", "5m"),
        ("8H", "8h"),
        ("2 Days", "2d"),
        ("1.5h", "1h30m"),
        ("2w", "14d"),
        ("0", None),
        ("-5s", None),
        ("5 parsecs", None),
        ("30m1h", None),
        ("s", None),
        ("", None),
        ("٣s", None),
        ("30s\n", "30s"),
    ],
)
def test_a_duration_without_a_proper_unit_is_refused_with_what_was_meant(
    text: str, suggestion: str | None
) -> None:
    with pytest.raises(Refused, match="a duration needs a unit, such as 90s, 15m, 8h or 7d") as refused:
        parse_duration(text)
    assert refused.value.suggestion == suggestion


@pytest.mark.parametrize("text", ["0s", "0d0h", "3651d", "999999999d"])
def test_a_duration_of_nothing_or_of_more_than_ten_years_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="longer than 0s and at most 3650d"):
        parse_duration(text)


def test_a_number_too_long_to_mean_anything_is_refused_and_not_cut() -> None:
    with pytest.raises(Refused):
        parse_duration("100000000000000000000001d")


@given(st.integers(1, 3650 * 86_400_000))
def test_every_whole_number_of_milliseconds_can_be_written_and_read_back(milliseconds: int) -> None:
    assert parse_duration(write_duration(milliseconds / 1000)) == milliseconds / 1000


@given(st.text())
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    with suppress(Refused):
        assert parse_duration(text) > 0


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("512B", 512),
        ("1kB", 1000),
        ("64KiB", 65_536),
        ("10MiB", 10_485_760),
        ("10MB", 10**7),
        ("1GiB", 2**30),
        ("1GB", 10**9),
    ],
)
def test_a_size_is_read_as_bytes(text: str, number: int) -> None:
    assert parse_size(text) == number


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [("1024", "1024B"), ("10 mb", "10MB"), ("10M", "10MiB"), ("10KB", "10kB"), ("ten", None)],
)
def test_a_size_without_a_proper_unit_is_refused_with_what_was_meant(text: str, suggestion: str | None) -> None:
    with pytest.raises(Refused, match="a size needs a unit") as refused:
        parse_size(text)
    assert refused.value.suggestion == suggestion


@given(st.integers(0, 10**9 - 1), st.sampled_from(["B", "kB", "MB", "GB", "KiB", "MiB", "GiB"]))
def test_every_size_can_be_written_and_read_back(number: int, unit: str) -> None:
    assert parse_size(write_size(parse_size(f"{number}{unit}"))) == parse_size(f"{number}{unit}")
