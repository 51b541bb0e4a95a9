"""Requests and responses as bytes, as a visitor and a tool send them to the data path (tests/support/tool.py)."""

from tests.support.units import KIB

GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

GET_MORE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
"""A request whose connection stays open for another one."""

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
"""A request without its end: more fields follow."""

OK = b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 2\r\n\r\nhi"

KIND = b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 4\r\n\r\nkind"

OK_LINE = b"HTTP/1.1 200 OK\r\n"
"""How a response begins: fields follow."""

CHUNKED = OK_LINE + b"Transfer-Encoding: chunked\r\n\r\n"
"""A response but for its body."""

LONG_LINE = b"X: " + b"v" * 15 * KIB + b"\r\n"
"""A field that a head may have a few times."""
