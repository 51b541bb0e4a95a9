"""Who may come in, and who gives way: told without a socket."""

import resource

import pytest

from oauth_proxy.capacity import MOST, Capacity, bound, raise_descriptor_limit


class Guest:
    """Somebody with a connection."""

    def __init__(self) -> None:
        self.gone = False

    def give_way(self) -> None:
        self.gone = True


def crowd(capacity: Capacity, number: int, address: str) -> list[Guest]:
    """So many who were let in from there and have asked for something."""
    guests = [Guest() for _ in range(number)]
    for guest in guests:
        assert capacity.admit(guest, address)
        capacity.wake(guest)
    return guests


def test_there_is_room_for_as_many_as_the_limit_says_and_no_more() -> None:
    capacity = Capacity(4)
    first, *_ = crowd(capacity, 2, "192.0.2.1") + crowd(capacity, 2, "192.0.2.2")
    assert capacity.open == 4
    assert str(capacity.trouble) == "full: 4 connections, none of them idle"
    assert not capacity.admit(Guest(), "192.0.2.3")
    capacity.leave(first)
    assert not capacity.trouble
    assert capacity.admit(Guest(), "192.0.2.3")


def test_whoever_has_been_idle_for_longest_gives_way() -> None:
    capacity = Capacity(4)
    guests = crowd(capacity, 2, "192.0.2.1") + crowd(capacity, 2, "192.0.2.2")
    for guest in (guests[2], guests[1], guests[3]):
        capacity.rest(guest)
    capacity.wake(guests[2])
    assert capacity.trouble is None
    assert capacity.admit(Guest(), "192.0.2.3")
    assert [guest.gone for guest in guests] == [False, True, False, False]
    assert capacity.open == 4


@pytest.mark.parametrize(
    ("one", "another"),
    [
        ("192.0.2.1", "192.0.2.2"),
        ("2001:db8:0:1::1", "2001:db8:0:2::1"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2"),
        ("fe80::1%eth0", "192.0.2.1"),
    ],
)
def test_one_address_gets_half_of_it(one: str, another: str) -> None:
    capacity = Capacity(8)
    mine = crowd(capacity, 4, one)
    assert not capacity.admit(Guest(), one)
    assert capacity.admit(Guest(), another)
    capacity.rest(mine[2])
    assert capacity.admit(Guest(), one), "the idle one of the same address gives way, nobody else's"
    assert [guest.gone for guest in mine] == [False, False, True, False]


def test_half_of_it_is_for_all_addresses_of_one_ipv6_network() -> None:
    capacity = Capacity(8)
    for number in range(4):
        crowd(capacity, 1, f"2001:db8:0:1:{number}::1")
    assert not capacity.admit(Guest(), "2001:db8:0:1:ffff::1")


@pytest.mark.parametrize("address", ["", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "10.0.0.1"])
def test_whoever_speaks_for_many_gets_all_of_it(address: str) -> None:
    capacity = Capacity(8, lambda peer: peer == "10.0.0.1")
    crowd(capacity, 8, address)
    assert not capacity.admit(Guest(), address)


def test_who_leaves_twice_was_there_once() -> None:
    capacity = Capacity(8)
    guest, other = crowd(capacity, 2, "192.0.2.1")
    for _ in range(2):
        capacity.leave(guest)
    capacity.rest(guest)
    assert (capacity.open, capacity.idle, capacity.addresses) == (1, 0, 1)
    assert not guest.gone
    capacity.rest(other)
    assert capacity.idle == 1
    capacity.leave(other)
    assert (capacity.open, capacity.idle, capacity.addresses) == (0, 0, 0)


def test_the_bound_leaves_descriptors_for_everything_else(caplog: pytest.LogCaptureFixture) -> None:
    assert bound(None, 1024) == 384
    assert bound(None, 1_048_576) == bound(None, -1) == MOST
    assert bound(100, 1024) == 100
    assert bound(20_000, 1_048_576) == 20_000
    assert not caplog.text
    assert bound(500, 1024) == 384
    assert "limits.connections is more than 1024 open files allow: it is 384" in caplog.text


@pytest.mark.parametrize(
    ("soft", "hard", "most", "raised"),
    [
        (1024, 1_048_576, 1_048_576, 1_048_576),
        (256, resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY),
        (256, resource.RLIM_INFINITY, 61_440, 33_024),  # macOS
        (256, 2**63 - 1, 61_440, 33_024),  # macOS again: this is its RLIM_INFINITY
        (256, resource.RLIM_INFINITY, 10_240, 8_256),
        (256, 4096, 1024, 1024),
        (256, 4096, 256, 256),
        (50_000, 100_000, 50_000, 50_000),
        (4096, 4096, 4096, 4096),
    ],
)
def test_as_many_open_files_are_asked_for_as_the_system_grants(
    soft: int, hard: int, most: int, raised: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system that grants less than its hard limit: Linux, where the tests run, grants all of it."""
    limits = (soft, hard)

    def setrlimit(_: int, asked: tuple[int, int]) -> None:
        nonlocal limits
        assert asked[1] == hard, "the hard limit, once lowered, stays so"
        if most != resource.RLIM_INFINITY and (asked[0] == resource.RLIM_INFINITY or asked[0] > most):
            raise ValueError("current limit exceeds maximum limit")
        limits = asked

    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    assert raise_descriptor_limit() == limits[0] == raised


def test_an_address_is_asked_about_once_however_often_somebody_comes_from_there() -> None:
    asked: list[str] = []

    def is_front(address: str) -> bool:
        asked.append(address)
        return False

    crowd(Capacity(8, is_front), 3, "192.0.2.1")
    assert asked == ["192.0.2.1"]
