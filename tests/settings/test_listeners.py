"""A listener as one text, or as a mapping of a socket's path, mode and group."""

from typing import Any

import pytest

from oauth_proxy.settings import Listen
from oauth_proxy.settings.listeners import parse_listener, write_listener
from oauth_proxy.settings.problems import Refused

SOCKET = "/run/proxy.sock"


@pytest.mark.parametrize(
    ("given", "mode", "group", "again"),
    [
        (f"unix:{SOCKET}", 0o600, None, f"unix:{SOCKET}"),
        ({"path": SOCKET}, 0o600, None, f"unix:{SOCKET}"),
        ({"path": SOCKET, "mode": "660"}, 0o660, None, {"path": SOCKET, "mode": "0660"}),
        (
            {"path": SOCKET, "group": "www-data"},
            0o660,
            "www-data",
            {"path": SOCKET, "mode": "0660", "group": "www-data"},
        ),
        (
            {"path": SOCKET, "mode": "0666", "group": "33"},
            0o666,
            "33",
            {"path": SOCKET, "mode": "0666", "group": "33"},
        ),
        ("127.0.0.1:4180", 0o600, None, "127.0.0.1:4180"),
    ],
)
def test_a_listener_is_read_and_written_back(given: Any, mode: int, group: str | None, again: Any) -> None:
    found = parse_listener(given)
    assert (found.mode, found.group, write_listener(found)) == (mode, group, again)
    assert parse_listener(again) == found


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "one value is wanted here, not a list"),
        ({}, "a Unix socket has a path"),
        ({"mode": "0660"}, "a Unix socket has a path"),
        ({"path": [SOCKET]}, "a Unix socket has a path"),
        ({"path": "relative.sock"}, "a Unix socket is written"),
        ({"path": SOCKET, "modes": "0660"}, "a Unix socket has a path, a mode and a group"),
        ({"path": SOCKET, "mode": "0o660"}, "a mode is three octal digits"),
        ({"path": SOCKET, "mode": "4755"}, "a mode is three octal digits"),
        ({"path": SOCKET, "group": "a b"}, "a group is its name or its number"),
    ],
)
def test_a_listener_that_is_not_one_is_refused(given: Any, message: str) -> None:
    with pytest.raises(Refused, match=message):
        parse_listener(given)


def test_who_may_connect_makes_no_other_place_of_it() -> None:
    assert Listen(path=SOCKET, mode=0o660) == Listen(path=SOCKET), "admin.listen must be another one"
