"""What the command line and a running proxy say to each other: heard once, in time, by whom it is for."""

import base64
import json
import math
import os
from dataclasses import asdict, replace

import pytest

from oauth_proxy import commands
from oauth_proxy.commands import FORM, WINDOW, Channel, Command, Inbox, census
from oauth_proxy.identity import Seen
from oauth_proxy.seal import Sealer, Unsealable
from tests.support.configuration import SITE
from tests.support.proxy import Clock
from tests.support.units import DAY, HOUR

OLD, NEW = os.urandom(32), os.urandom(32)


class Process:
    """A proxy that has run for a day, and its clocks."""

    def __init__(self, *keys: bytes) -> None:
        self.clock, self.monotonic = Clock(), Clock(0.0)
        self.keys = keys or (NEW,)
        self.inbox = Inbox(self.keys, SITE, self.clock, self.monotonic)
        self.pass_time(DAY)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.monotonic.advance(seconds)

    def restart(self) -> None:
        self.inbox = Inbox(self.keys, SITE, self.clock, self.monotonic)

    def command(self, late: float = 0.0) -> str:
        """A sealed command that was made so many seconds ago."""
        return Channel(self.keys[0], SITE).seal(Command.new("seen", None, self.clock.now - late))

    def hears(self, text: str) -> bool:
        try:
            self.inbox.open(text)
        except Unsealable:
            return False
        return True


def test_a_command_is_heard_once() -> None:
    proxy = Process()
    text = proxy.command()
    assert proxy.hears(text)
    for _ in range(3):
        assert not proxy.hears(text)
        proxy.pass_time(WINDOW / 2)


@pytest.mark.parametrize(
    ("late", "heard"),
    [(WINDOW - 1, True), (WINDOW + 1, False), (1 - WINDOW, True), (-1 - WINDOW, False), (math.nan, False)],
)
def test_a_command_is_heard_within_a_minute_of_when_it_was_made(late: float, heard: bool) -> None:
    proxy = Process()
    assert proxy.hears(proxy.command(late)) is heard


def test_what_a_process_heard_its_successor_does_not_hear_again() -> None:
    proxy = Process()
    text = proxy.command()
    assert proxy.hears(text)
    proxy.pass_time(2)
    proxy.restart()
    proxy.pass_time(1)
    assert not proxy.hears(text)
    assert proxy.hears(proxy.command())


def test_a_clock_that_is_set_back_makes_nothing_heard_again_and_keeps_nobody_from_commanding() -> None:
    proxy = Process()
    text = proxy.command()
    assert proxy.hears(text)
    proxy.pass_time(HOUR)
    assert proxy.hears(proxy.command())
    proxy.clock.advance(-HOUR)
    assert not proxy.hears(text)
    assert proxy.hears(proxy.command())


def test_what_was_heard_is_bounded_and_nothing_in_it_is_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_MOST_HEARD", 3)
    proxy = Process()
    first = [proxy.command() for _ in range(3)]
    assert all(map(proxy.hears, first))
    assert not proxy.hears(proxy.command())
    proxy.pass_time(WINDOW + 1)
    assert all(proxy.hears(proxy.command()) for _ in range(3))
    assert not proxy.hears(proxy.command()), "those before have made room for three"
    assert not any(map(proxy.hears, first))


def test_a_command_of_another_site_purpose_or_key_is_not_heard() -> None:
    proxy = Process()
    command = Command.new("seen", None, proxy.clock.now)
    content, context = json.dumps(asdict(command)).encode(), f"{FORM} for {SITE}"
    for text in (
        Channel(OLD, SITE).seal(command),
        Channel(NEW, "https://another.example.com").seal(command),
        Sealer([NEW], "session").seal(content, context),
        Sealer([NEW], "admin").seal(content),
        Sealer([NEW], "admin").seal(content, FORM),
        Channel(NEW, SITE).seal_reply(command, {"at": proxy.clock.now}),
    ):
        assert not proxy.hears(text)
    assert proxy.hears(Sealer([NEW], "admin").seal(content, context))


@pytest.mark.parametrize("ring", [(NEW, OLD), (OLD, NEW), (OLD,)])
def test_a_command_under_any_key_of_the_ring_is_heard_and_answered_under_that_key(ring: tuple[bytes]) -> None:
    proxy = Process(*ring)
    told = Channel(OLD, SITE)
    command = Command.new("seen", None, proxy.clock.now)
    channel, heard = proxy.inbox.open(told.seal(command))
    assert heard == command
    assert told.open_reply(command, channel.seal_reply(command, {"a": 1})) == {"a": 1}


def test_an_answer_opens_for_its_command_only() -> None:
    channel = Channel(NEW, SITE)
    command = Command.new("seen", None, 0.0)
    answer = channel.seal_reply(command, {"a": 1})
    with pytest.raises(Unsealable):
        channel.open_reply(replace(command, nonce="another"), answer)
    with pytest.raises(Unsealable):
        channel.open_reply(command, channel.seal(command))


def test_a_list_of_who_was_seen_fits_into_an_answer_last_seen_first_and_says_how_many_do_not() -> None:
    crowd = [Seen(f"U{n}", f"{base64.b64encode(os.urandom(60)).decode()}@x.example", 0.0, n) for n in range(9000)]
    giant = Seen("giant", "\U0001f608" * 100_000, 0.0, 1e9)
    command, channel = Command.new("seen", None, 0.0), Channel(NEW, SITE)
    text = channel.seal_reply(command, census([giant, *crowd]))
    assert len(text) <= commands.LONGEST_ANSWER
    told = channel.open_reply(command, text)
    assert [person["id"] for person in told["people"][:2]] == ["U8999", "U8998"]
    assert told["more"] == 9001 - len(told["people"])
    assert 3000 < len(told["people"]) < 9000
