"""The ports that tests give to servers, other people's among them."""

import socket

import pytest

from tests.support.proxy import free_port


def test_a_held_port_is_a_servers_as_often_as_it_starts_and_nobodys_in_between() -> None:
    port = free_port()
    for _ in range(2):
        with socket.socket() as other, pytest.raises(OSError, match="Address already in use"):
            other.bind(("127.0.0.1", port))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        with socket.create_server(("127.0.0.1", port)):
            socket.create_connection(("127.0.0.1", port)).close()
