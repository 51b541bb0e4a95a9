"""The breaker alone: what opens it, what closes it, and who may ask meanwhile."""

import asyncio
from collections.abc import Callable
from typing import NoReturn

import pytest

from oauth_proxy.errors import GrantEnded, NotAllowed, ProviderAway, ProviderBusy, ProviderNonsense, ProviderPaused
from oauth_proxy.provider.breaker import FIRST_WAIT, LONGEST_WAIT, Breaker
from tests.support.proxy import Clock

AWAY = ProviderAway("a timeout")


def ends(breaker: Breaker, owner: str, failure: BaseException, meanwhile: Callable[[], object] = int) -> None:
    """A call that is let through and ends in this failure."""
    with pytest.raises(type(failure)) as caught, breaker.call(owner):
        _fail_with(failure, meanwhile)
    assert caught.value is failure


def _fail_with(failure: BaseException, meanwhile: Callable[[], object]) -> NoReturn:
    meanwhile()
    raise failure


def fail(breaker: Breaker, owner: str) -> None:
    ends(breaker, owner, AWAY)


def held_back(breaker: Breaker) -> int:
    """The seconds that a call which is held back is told to wait."""
    with pytest.raises(ProviderPaused) as caught, breaker.call("anybody"):
        pass
    return caught.value.retry_after or 0


def break_down(breaker: Breaker) -> None:
    for owner in ("one", "two", "three"):
        fail(breaker, owner)


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(clock)
    break_down(breaker)
    return breaker


def test_three_owners_in_a_row_open_it_and_two_do_not() -> None:
    breaker = Breaker(Clock())
    fail(breaker, "one")
    fail(breaker, "two")
    with breaker.call("anybody"):
        fail(breaker, "three")
        assert held_back(breaker) == 1


def test_one_owner_alone_never_opens_it() -> None:
    breaker = Breaker(Clock())
    for _ in range(1000):
        fail(breaker, "one")
    assert not breaker.is_open


def test_a_success_in_between_begins_the_row_anew() -> None:
    breaker = Breaker(Clock())
    for owner in ("one", "two", "three", "four"):
        fail(breaker, owner)
        with breaker.call("somebody"):
            pass
    assert not breaker.is_open


@pytest.mark.parametrize(
    "answer", [GrantEnded("400"), NotAllowed("403"), ProviderBusy("429"), ProviderNonsense("<h1>")], ids=repr
)
def test_an_answer_of_any_kind_says_that_the_provider_is_there(answer: Exception) -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.advance(FIRST_WAIT)
    ends(breaker, "one", answer)
    assert not breaker.is_open


def test_one_probe_at_a_time_is_let_through_and_its_success_lets_everybody_in() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.advance(FIRST_WAIT)
    with breaker.call("a probe"):
        held_back(breaker)
    with breaker.call("one"), breaker.call("two"):
        pass


def test_the_wait_for_a_probe_doubles_up_to_half_a_minute_and_is_short_again_after_a_success() -> None:
    clock = Clock()
    breaker = opened(clock)
    for wait in (1, 2, 4, 8, 16, 30, 30):
        assert held_back(breaker) == wait
        clock.advance(wait - 0.1)
        held_back(breaker)
        clock.advance(0.1)
        fail(breaker, "one")
    clock.advance(LONGEST_WAIT)
    with breaker.call("one"):
        pass
    break_down(breaker)
    assert held_back(breaker) == FIRST_WAIT


def test_what_was_under_way_when_it_opened_and_fails_late_makes_no_wait_longer() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    ends(breaker, "late", AWAY, lambda: break_down(breaker))
    assert held_back(breaker) == FIRST_WAIT


def test_what_was_under_way_when_it_opened_and_succeeds_late_closes_it() -> None:
    breaker = Breaker(Clock())
    with breaker.call("late"):
        break_down(breaker)
    assert not breaker.is_open


@pytest.mark.parametrize("end", [asyncio.CancelledError, RuntimeError, KeyboardInterrupt])
def test_a_probe_that_is_cancelled_leaves_room_for_the_next(end: type[BaseException]) -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.advance(FIRST_WAIT)
    ends(breaker, "a probe", end())
    assert breaker.is_open
    with breaker.call("the next probe"):
        pass
    assert not breaker.is_open


def test_a_late_probe_of_an_earlier_outage_lets_no_second_one_through() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.advance(FIRST_WAIT)
    earlier = breaker.call("an earlier probe")
    earlier.__enter__()
    with breaker.call("a login", held=False):
        pass
    break_down(breaker)
    clock.advance(FIRST_WAIT)

    def fail_late() -> None:
        assert not earlier.__exit__(ProviderAway, AWAY, None)
        held_back(breaker)

    ends(breaker, "a probe", ProviderAway("a timeout"), fail_late)


def test_a_call_that_is_not_held_back_is_let_through_and_is_still_evidence() -> None:
    clock = Clock()
    breaker = opened(clock)
    with pytest.raises(ProviderAway), breaker.call("login", held=False):
        raise ProviderAway("a timeout")
    assert held_back(breaker) == FIRST_WAIT
    with breaker.call("login", held=False):
        pass
    assert not breaker.is_open


def test_a_clock_of_its_own_is_all_it_goes_by() -> None:
    clock = Clock(now=-3600.0)
    breaker = opened(clock)
    assert held_back(breaker) == 1
    clock.advance(FIRST_WAIT)
    with breaker.call("one"):
        pass
