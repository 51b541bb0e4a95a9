"""The ends that a process knows: of one person, the older half becomes one when there are many."""

from oauth_proxy.memory.revocations import MOST_OF_A_PERSON, Revocation, Revocations
from tests.support.units import WEEK_AND_A_DAY


def test_ends_that_are_told_again_move_no_mark_over_sessions_that_live() -> None:
    known = Revocations(WEEK_AND_A_DAY, lambda: 1000.0)
    ends = [
        Revocation(f"session {number}", 1000.0, "u-jo", float(number)) for number in range(MOST_OF_A_PERSON + 50)
    ]
    among_them = MOST_OF_A_PERSON / 2 + 20.5
    for _ in range(4):  # as after each time that the store was away
        known.learn(ends)
        assert not known.has("a phone's", among_them, "u-jo")
        assert known.has("not told singly any more", 1.0, "u-jo")
        assert all(known.has(end.what.removeprefix("session "), end.created, "u-jo") for end in ends)
