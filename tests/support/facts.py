"""A tool that answers with what its server made it believe of a request: one for WSGI, ASGI and CGI alike.

It is run by other servers, one of them with Debian's Python, and imports nothing but the standard library.
"""

import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

TYPE = "application/json"


def facts(environ: Mapping[str, Any]) -> bytes:
    """What CGI's variables say (RFC 3875 4.1), as far as our own lines for the tool do not set it."""
    names = {
        "path": "PATH_INFO",
        "prefix": "SCRIPT_NAME",
        "target": "REQUEST_URI",
        "query": "QUERY_STRING",
        "method": "REQUEST_METHOD",
        "scheme": "wsgi.url_scheme",
        "https": "HTTPS",
        "host": "HTTP_HOST",
        "server": "SERVER_NAME",
        "port": "SERVER_PORT",
        "client": "REMOTE_ADDR",
        "client_name": "REMOTE_HOST",
        "user": "REMOTE_USER",
        "auth": "AUTH_TYPE",
        "proxy": "HTTP_PROXY",
    }
    return json.dumps({fact: environ[name] for fact, name in names.items() if name in environ}).encode()


def wsgi(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    """The tool for gunicorn, Waitress and uWSGI; what is not read, uWSGI answers with a reset."""
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    body = facts(environ)
    start_response("200 OK", [("Content-Type", TYPE), ("Content-Length", str(len(body)))])
    return [body]


async def asgi(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """The tool for uvicorn and hypercorn."""
    if scope["type"] != "http":
        return
    told = {name: scope[name] for name in ("path", "root_path", "method", "scheme") if name in scope}
    hosts = [value.decode() for name, value in scope["headers"] if name == b"host"]
    body = json.dumps({**told, "client": (scope["client"] or [""])[0], "host": hosts}).encode()
    lines = [(b"content-type", TYPE.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": lines})
    await send({"type": "http.response.body", "body": body})


def asgi_behind_a_proxy() -> Any:
    """The tool for hypercorn, whose belief is a middleware."""
    from hypercorn.middleware import ProxyFixMiddleware

    return ProxyFixMiddleware(asgi, mode="legacy", trusted_hops=1)  # type: ignore[arg-type]  # an ASGI app all the same


if __name__ == "__main__":
    sys.stdout.write(f"Content-Type: {TYPE}\r\n\r\n{facts(os.environ).decode()}")
