import tracemalloc
from sys import getsizeof

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_proxy.bounded import Bounded, Weighed

STEPS = st.lists(st.tuples(st.sampled_from(["keep", "keep", "drop"]), st.integers(0, 9), st.integers(0, 80)))


def grams(key: int, value: int) -> int:
    return value


@given(STEPS, st.integers(1, 6))
def test_there_are_never_more_than_the_bound_and_the_newest_is_there(
    steps: list[tuple[str, int, int]], most: int
) -> None:
    held = Bounded[int, int](most)
    expected: list[tuple[int, int]] = []
    for step, key, value in steps:
        before = dict(expected).get(key)
        expected = [item for item in expected if item[0] != key]
        if step == "drop":
            assert held.drop(key) == before
            assert key not in held
        else:
            held.keep(key, value)
            expected = [*expected, (key, value)][-most:]
            assert held.get(key) == value
        assert list(zip(held, held.values(), strict=True)) == expected
        assert len(held) == len(expected) <= most


@given(STEPS, st.integers(0, 100))
def test_it_never_weighs_more_than_the_bound_and_the_newest_is_there_where_it_fits(
    steps: list[tuple[str, int, int]], room: int
) -> None:
    most = room + 3 * Weighed.ITEM
    held = Weighed[int, int](most, grams)
    for step, key, value in steps:
        if step == "drop":
            held.drop(key)
        else:
            others = sum(held.values()) - (held.get(key) or 0)
            count = len(held) + (key not in held)
            held.keep(key, value)
            assert held.get(key) == value
            if others + value + count * Weighed.ITEM <= most:
                assert len(held) == count, "nothing is dropped that has room"
        assert held.weight == sum(held.values()) + len(held) * Weighed.ITEM <= most


def test_what_is_heavier_than_the_bound_is_not_kept() -> None:
    held = Weighed[int, int](Weighed.ITEM + 10, grams)
    held.keep(1, 10)
    held.keep(2, 11)
    assert (len(held), held.weight) == (0, 0)


def test_what_grew_is_weighed_again_when_it_is_kept_again() -> None:
    held = Weighed[str, list[int]](3 * Weighed.ITEM, lambda key, value: sum(value))
    one, other = [1], [2]
    held.keep("one", one)
    held.keep("other", other)
    one.append(Weighed.ITEM)
    held.keep("one", one)
    assert list(held) == ["one"]
    assert held.weight == 1 + 2 * Weighed.ITEM


@pytest.mark.parametrize("count", [100, 1000, 3000, 10_000])
def test_an_item_of_the_map_itself_is_counted_as_what_it_takes(count: int) -> None:
    texts = [f"{number:040}" for number in range(count)]
    held = Weighed[str, str](1 << 40, lambda key, value: getsizeof(value))
    tracemalloc.start()
    try:
        for text in texts:
            held.keep(text, text)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert 0.3 * Weighed.ITEM * count < taken < Weighed.ITEM * count
