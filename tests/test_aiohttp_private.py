"""What aiohttp does not promise and we use: all of it is in one module, and still is what it was."""

import ast
import asyncio
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Coroutine
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.http import HttpProcessingError, RawRequestMessage, StreamWriter
from aiohttp.web_protocol import ERROR

from oauth_proxy import aiohttp_private
from oauth_proxy.client_connection import ClientConnection
from oauth_proxy.errors import BadRequest
from oauth_proxy.outcomes import Outcome
from oauth_proxy.reading import LONGEST_FIELD, LONGEST_LINE
from oauth_proxy.requests import Request
from oauth_proxy.server import Server
from oauth_proxy.upstream.relay import Forwarded
from tests.test_house import MODULES, Module

OURS = "aiohttp_private.py"
ROW = re.compile(r"^([^ :\n][^:\n]+): (.+\.) Without (?:it|them): (.+\.)$", re.MULTILINE)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
REPLACED = {
    ClientConnection: {
        *(
            "start",
            "close",
            "shutdown",
            "force_close",
            "pause_reading",
            "resume_reading",
            "_parser",
            "transport",
        ),  # of the table
        *("connection_made", "connection_lost", "data_received", "eof_received"),  # asyncio's
        *("pause_writing", "resume_writing"),
    },
    Request: {
        *("body_exists", "content", "headers", "keep_alive", "method", "protocol"),
        *("raw_path", "remote", "transport", "version"),
    },
    Forwarded: {"prepared", "status", "body_length", "keep_alive", "force_close"},
    Server: {"connection_lost", "connection_made"},
}
"""Names of aiohttp's in whose place our classes put something else, all of them meant."""


def same(name: str, is_same: object, what: str) -> None:
    """Fail with a sentence that says what to do, unless `is_same`."""
    assert is_same, (
        f"aiohttp {aiohttp.__version__} changed {name}: no longer holds that {what}. Read aiohttp's changes, then "
        f"change {OURS}, this check, and the bound in pyproject.toml."
    )


def parameters(of: Callable[..., object]) -> list[str]:
    return list(inspect.signature(of).parameters)


async def unused(request: Request) -> Outcome:
    raise NotImplementedError


def refused(request: Request, error: BadRequest) -> Outcome:
    raise NotImplementedError


def a_connection() -> ClientConnection:
    """One that nobody has made yet."""
    server = Server(unused, refusal=refused, answered=lambda request, response, seconds: None)
    return cast(ClientConnection, server())


async def parser(name: str) -> None:
    connection = a_connection()
    heads, is_upgrade, rest = connection.parse(GET)
    same(name, (len(heads), is_upgrade, rest) == (1, False, b""), "it gives heads with bodies, a flag and a rest")
    head, body = heads[0]
    same(name, (head.method, body) == ("GET", aiohttp.EMPTY_PAYLOAD), "it gives a head and its body")
    upgrade = GET[:-2] + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    _, is_upgrade, rest = connection.parse(upgrade + b"rest")
    same(
        name, (is_upgrade, rest) == (True, b"rest"), "behind a request for another protocol it gives the rest back"
    )
    connection.decline_upgrade()
    same(name, len(connection.parse(GET)[0]) == 1, "set_upgraded(False) lets it parse on")
    connection = a_connection()
    first = len(connection.parse(GET * 100)[0])
    same(name, first < 50, "it stops when many heads wait")
    for _ in range(first):
        connection.take_next()
    same(name, len(connection.parse(b"")[0]) > 20, "message_consumed() lets it go on with what it kept")
    connection.connection_lost(None)
    same(name, connection.is_over, "it is None once the connection is lost")


def slots() -> set[str]:
    """What aiohttp keeps of a connection."""
    every = {slot for each in web.RequestHandler.__mro__ for slot in getattr(each, "__slots__", ())}
    return every - {"_drain_waiter", "_connection_lost", "access_logger"}  # not always set


async def start(name: str) -> None:
    same(name, inspect.iscoroutinefunction(web.RequestHandler.start), "it is a coroutine function")
    same(name, parameters(web.RequestHandler.start) == ["self"], "it takes nothing")
    began = asyncio.Event()

    class Begins(ClientConnection):
        __slots__ = ()

        async def start(self) -> None:
            began.set()

    connection = a_connection()
    connection.__class__ = Begins
    before = {slot: getattr(connection, slot) for slot in slots()}
    web.RequestHandler.connection_made(connection, asyncio.Transport())
    async with asyncio.timeout(5):
        await began.wait()
    changed = {slot for slot, value in before.items() if getattr(connection, slot) is not value}
    same(name, changed == {"transport", "_task_handler"}, "connection_made() sets no more than we do")


async def ends(name: str) -> None:
    heard: list[object] = []

    class Hears(ClientConnection):
        __slots__ = ()

        def close(self) -> None:
            heard.append("close")

        async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - as aiohttp's
            heard.append(timeout)

        def force_close(self) -> None:
            heard.append("force_close")

    server, connection = Server(unused, refusal=refused, answered=lambda *_: None), a_connection()
    connection.__class__ = Hears
    server.connection_made(connection, asyncio.Transport())
    server.pre_shutdown()
    await server.shutdown(2.0)
    same(name, heard == ["close", 2.0], "a server that ends calls close() and shutdown(seconds)")
    connection.connection_lost(None)
    same(name, heard[2:] == ["force_close"], "connection_lost() calls force_close()")


async def pauses(name: str) -> None:
    connection = a_connection()
    [(_, body)], *_ = connection.parse(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n")
    connection.parse(bytes(200_000))
    same(name, connection.is_body_full, "a body whose reader has no room calls pause_reading()")
    await body.readany()
    same(name, not connection.is_body_full, "a body whose reader has room again calls resume_reading()")
    same(name, parameters(web.RequestHandler.resume_reading) == ["self", "resume_parser"], "it takes a flag")


async def constructor(name: str) -> None:
    expected = ["self", "message", "payload", "protocol", "payload_writer", "task", "loop"]
    same(name, parameters(web.BaseRequest.__init__)[:7] == expected, f"it takes {', '.join(expected)}")
    connection = a_connection()
    [(head, body)], *_ = connection.parse(GET)
    request = Request(head, body, connection)
    task: Any = None
    whole = web.BaseRequest(
        head, body, connection, StreamWriter(connection, connection.loop), task, connection.loop
    )
    for each in REPLACED[Request] - {"remote"}:
        same(name, getattr(request, each) == getattr(whole, each), f"{each} is what we say at once")
    same(name, (request.path, request.query_string) == ("/", ""), "the rest is there once it is asked for")
    same(name, isinstance(request.writer, StreamWriter), "the rest is there once it is asked for")
    same(name, not hasattr(request, "what nobody has"), "what nobody has is not there")


async def message(name: str) -> None:
    [(head, _)], *_ = a_connection().parse(b"POST /p HTTP/1.0\r\nHost: x\r\nContent-Length: 1\r\n\r\n")
    same(name, isinstance(head, RawRequestMessage), "a head is one")
    seen = (head.method, head.path, head.version, head.chunked)
    same(name, seen == ("POST", "/p", HttpVersion10, False), "it has method, path, version, chunked")
    lines = ((b"Host", b"x"), (b"Content-Length", b"1"))
    same(name, head.raw_headers == lines, "it has raw_headers, a tuple of pairs, with which lines are remembered")
    copy = head._replace(version=HttpVersion11)
    same(name, (copy.version, copy.path) == (HttpVersion11, "/p"), "it copies itself by _replace")


async def error_head(name: str) -> None:
    same(name, isinstance(ERROR, RawRequestMessage), "it is a head")
    same(name, (ERROR.method, ERROR.path, list(ERROR.raw_headers)) == ("UNKNOWN", "/", []), "it says nothing")


async def writer(name: str) -> None:
    same(name, parameters(StreamWriter)[:2] == ["protocol", "loop"], "it takes a protocol and a loop")
    await a_connection().taken()  # nothing was written


async def not_http(name: str) -> None:
    for odd in (b"\x00\r\n\r\n", b"GET / HTTP/1.1\r\nA B: c\r\n\r\n", b"GET / HTTP/1.1 x\r\n\r\n"):
        with pytest.raises(HttpProcessingError):
            a_connection().parse(odd)


async def bounds(name: str) -> None:
    for sent, bound in (
        (b"GET /" + b"a" * LONGEST_LINE + b" HTTP/1.1\r\n", LONGEST_LINE),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * LONGEST_FIELD + b"\r\n", LONGEST_FIELD),
    ):
        with pytest.raises(HttpProcessingError) as caught:
            a_connection().parse(sent)
        same(name, aiohttp_private.bound_of(caught.value) == bound, "its second argument is the bound")


CHECKS: dict[str, Callable[[str], Coroutine[Any, Any, None]]] = {
    "RequestHandler._parser": parser,
    "RequestHandler.start, .connection_made": start,
    "RequestHandler.close, .shutdown, .force_close": ends,
    "RequestHandler.pause_reading, .resume_reading": pauses,
    "BaseRequest.__init__": constructor,
    "RawRequestMessage": message,
    "ERROR": error_head,
    "StreamWriter": writer,
    "HttpProcessingError": not_http,
    "LineTooLong.args": bounds,
}


@pytest.mark.parametrize("name", CHECKS)
async def test_what_aiohttp_does_not_promise_is_what_it_was(name: str) -> None:
    try:
        await CHECKS[name](name)
    except (AttributeError, TypeError, ValueError, TimeoutError) as error:
        same(name, False, f"it is there and takes what it took ({error!r})")


def test_the_table_has_a_line_for_each_check() -> None:
    assert [name for name, _, _ in ROW.findall(aiohttp_private.__doc__ or "")] == list(CHECKS)


@pytest.mark.parametrize("ours", REPLACED, ids=lambda ours: ours.__name__)
async def test_our_classes_replace_nothing_of_aiohttp_s_but_what_is_meant(ours: type) -> None:
    mine, theirs = set(), set()
    for each in ours.__mro__:
        names = {
            name for name in (*vars(each), *attributes(each, ast.Store)) if not name.startswith(("__", "_abc"))
        }
        if each.__module__.startswith("oauth_proxy"):
            mine |= names
        elif each.__module__.startswith("aiohttp"):
            theirs |= names
    same(ours.__name__, mine & theirs == REPLACED[ours], f"{sorted(mine & theirs ^ REPLACED[ours])} is ours alone")


def attributes(of: type, context: type = ast.AST) -> set[str]:
    """The names that the methods of a class use of `self`; ast.Store: that they set. None of a class in C."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(of)))
    except (OSError, TypeError):
        return set()
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
        and isinstance(node.ctx, context)
    }


def stolen(module: Module) -> set[str]:
    """The names by which a module reaches for what aiohttp does not promise."""
    found = set()
    for node in module.nodes():
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names if each.name.startswith("aiohttp.")}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "aiohttp":
            promised = {*aiohttp.__all__, "web"} if node.module == "aiohttp" else set()
            found |= {f"{node.module}.{each.name}" for each in node.names} - {
                f"aiohttp.{name}" for name in promised
            }
        elif isinstance(node, ast.Attribute):
            whose = ast.unparse(node.value)
            promised = {"aiohttp": {*aiohttp.__all__, "web"}, "web": set(web.__all__)}.get(whose, {node.attr})
            is_private = node.attr.startswith("_") and not node.attr.startswith("__") and node.attr != "_replace"
            if node.attr not in promised or (is_private and whose not in ("self", "cls")):
                found.add(f"{whose}.{node.attr}")
    return found


def inherited(name: str) -> set[str]:
    """The private names of aiohttp that a module's classes use as their own."""
    found = set()
    module = importlib.import_module(f"oauth_proxy.{name.removesuffix('.py').replace('/', '.')}")
    for ours in vars(module).values():
        if inspect.isclass(ours) and ours.__module__ == module.__name__:
            bases = [each for each in ours.__mro__ if each.__module__.startswith("aiohttp.")]
            theirs = {name for each in bases for name in (*vars(each), *attributes(each))}
            found |= {f"{ours.__name__}: self.{name}" for name in attributes(ours) & theirs if name[0] == "_"}
    return found


@pytest.mark.parametrize("module", [module for module in MODULES if module.name != OURS], ids=lambda m: m.name)
def test_no_other_module_uses_what_aiohttp_does_not_promise(module: Module) -> None:
    if "aiohttp" not in module.text and "Request" not in module.text:
        return
    found = stolen(module) | (set() if module.name.endswith("__main__.py") else inherited(module.name))
    assert not found, f"{module.name}: give it a name in {OURS}, a line in its table and a check"


@pytest.mark.parametrize(
    "text",
    [
        "from aiohttp.http import StreamWriter",
        "from aiohttp import http_exceptions",
        "import aiohttp.web_protocol",
        "request._version",
        "web.GracefulExit._x",
        "web.web_protocol.ERROR",
    ],
)
def test_a_private_name_elsewhere_is_seen(text: str) -> None:
    assert stolen(Module("module.py", "module", text, ast.parse(text)))
