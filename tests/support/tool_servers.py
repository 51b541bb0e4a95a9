"""Other people's servers on loopback, which believe what stands in front of them; their tool is `facts`."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, STDOUT
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.places import ROOT
from tests.support.proxy import RawAnswer, free_port
from tests.support.units import PATIENCE

FACTS = Path(__file__).with_name("facts.py")
MODULE = "tests.support.facts"
APACHE_MODULES = "/usr/lib/apache2/modules"

PHP = """<?php
$names = ['path' => 'PATH_INFO', 'prefix' => 'SCRIPT_NAME', 'target' => 'REQUEST_URI', 'query' => 'QUERY_STRING',
          'method' => 'REQUEST_METHOD', 'https' => 'HTTPS', 'host' => 'HTTP_HOST', 'server' => 'SERVER_NAME',
          'port' => 'SERVER_PORT', 'client' => 'REMOTE_ADDR', 'user' => 'REMOTE_USER', 'proxy' => 'HTTP_PROXY'];
header('Content-Type: application/json');
echo json_encode(array_intersect_key(array_map(fn($name) => $_SERVER[$name] ?? null, $names), $names));
"""
APACHE = """
ServerRoot "{folder}"
ServerName localhost
Listen 127.0.0.1:{port}
PidFile "{folder}/apache.pid"
DefaultRuntimeDir "{folder}"
ErrorLog /dev/stderr
LoadModule mpm_prefork_module {modules}/mod_mpm_prefork.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule alias_module {modules}/mod_alias.so
LoadModule remoteip_module {modules}/mod_remoteip.so
LoadModule cgi_module {modules}/mod_cgi.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_fcgi_module {modules}/mod_proxy_fcgi.so
StartServers 1
RemoteIPHeader X-Forwarded-For
RemoteIPInternalProxy 127.0.0.1
{way}
"""


@dataclass(frozen=True)
class Server:
    """A server by its name: `start` gives the commands to run, for a free port and a folder of its own.

    `believed` is a line that it believes of whoever connects to it directly, `socket` whether it has no port.
    """

    name: str
    start: Callable[[int, Path], Sequence[Sequence[str]]]
    believed: str
    needs: tuple[str, ...] = ()
    socket: bool = False

    @asynccontextmanager
    async def running(self, folder: Path) -> AsyncIterator[str]:
        """The server, as `upstreams` names it; it is stopped at the end."""
        _look_for(self.needs)
        port, processes = free_port(), []
        with (folder / "said").open("wb") as said:
            try:
                for command in self.start(port, folder):
                    processes.append(
                        await asyncio.create_subprocess_exec(
                            *command, cwd=ROOT, stdin=DEVNULL, stdout=said, stderr=STDOUT, env=_environ()
                        )
                    )
                where = f"unix:{folder}/socket" if self.socket else f"http://127.0.0.1:{port}"
                await _is_up(where, folder / "said")
                yield where
            finally:
                for process in processes:
                    if process.returncode is None:
                        process.terminate()
                for process in processes:
                    async with asyncio.timeout(PATIENCE):
                        await process.wait()


async def ask(where: str, target: str, *lines: str) -> dict[str, Any]:
    """What the server itself believes of a request that nobody has looked at before it."""
    reader, writer = await _connect(where)
    head = [f"GET {target} HTTP/1.1", "Host: localhost", "Connection: close", *lines]
    writer.write("\r\n".join(head).encode() + b"\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        answer = RawAnswer.read(await reader.read())
    writer.close()
    assert answer.status == 200, answer
    return told(answer)


def told(answer: RawAnswer) -> dict[str, Any]:
    """The facts in an answer, chunked or not."""
    body = answer.body
    found: dict[str, Any] = json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])
    found.pop("client_port", None)
    return found


async def _connect(where: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if where.startswith("unix:"):
        return await asyncio.open_unix_connection(where.removeprefix("unix:"))
    return await asyncio.open_connection("127.0.0.1", int(where.rpartition(":")[2]))


async def _is_up(where: str, said: Path) -> None:
    async with asyncio.timeout(PATIENCE):
        for _ in range(400):
            try:
                reader, writer = await _connect(where)
                writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                first = await reader.read(len(b"HTTP/1.1 503"))
                writer.close()
                if not first.endswith(b" 503"):  # a server in front of another one says so until that one is up
                    return
            except OSError:
                pass
            await asyncio.sleep(0.05)
    _fail(said)


def _look_for(paths: Sequence[str]) -> None:
    for path in paths:
        if not Path(path).exists():
            pytest.skip(f"{path} is not there; .ci/run says which package has it")


def _fail(said: Path) -> None:
    pytest.fail(said.read_text("utf-8", "replace"))


def _environ() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


def _python(*arguments: str) -> list[str]:
    return [sys.executable, "-m", *arguments]


def _gunicorn(port: int, folder: Path) -> list[list[str]]:
    return [_python("gunicorn", "--no-control-socket", "-b", f"127.0.0.1:{port}", f"{MODULE}:wsgi")]


def _gunicorn_on_a_socket(port: int, folder: Path) -> list[list[str]]:
    return [_python("gunicorn", "--no-control-socket", "-b", f"unix:{folder}/socket", f"{MODULE}:wsgi")]


def _uvicorn(port: int, folder: Path) -> list[list[str]]:
    return [_python("uvicorn", "--proxy-headers", "--port", str(port), "--lifespan", "off", f"{MODULE}:asgi")]


def _hypercorn(port: int, folder: Path) -> list[list[str]]:
    return [_python("hypercorn", "-b", f"127.0.0.1:{port}", f"{MODULE}:asgi_behind_a_proxy()")]


def _waitress(port: int, folder: Path) -> list[list[str]]:
    trust = [
        "--trusted-proxy=127.0.0.1",
        "--trusted-proxy-headers=x-forwarded-for x-forwarded-host x-forwarded-proto",
    ]
    return [_python("waitress", f"--listen=127.0.0.1:{port}", *trust, f"{MODULE}:wsgi")]


def _uwsgi(port: int, folder: Path) -> list[list[str]]:
    where = ["--http-socket", f"127.0.0.1:{port}", "--plugin", "python3", "--wsgi-file", str(FACTS)]
    return [["/usr/bin/uwsgi_python3", *where, "--callable", "wsgi", "--master", "--die-on-term", "--need-app"]]


def _apache(port: int, folder: Path, way: str) -> list[str]:
    text = APACHE.format(folder=folder, port=port, modules=APACHE_MODULES, way=way)
    (folder / "apache.conf").write_text(text)
    return ["/usr/sbin/apache2", "-X", "-f", str(folder / "apache.conf")]


def _cgi(port: int, folder: Path) -> list[list[str]]:
    script = folder / "tool.cgi"
    script.write_text(f"#!/bin/sh\nexec {sys.executable} {FACTS}\n")
    script.chmod(0o755)
    return [_apache(port, folder, f'ScriptAlias "/" "{script}/"')]


def _fcgi(port: int, folder: Path) -> list[list[str]]:
    (folder / "tool.php").write_text(PHP)
    behind = free_port()
    php = ["/usr/bin/php-cgi", "-b", f"127.0.0.1:{behind}", "-d", "cgi.fix_pathinfo=1"]
    way = f'ProxyPass "/" "fcgi://127.0.0.1:{behind}{folder}/tool.php/" retry=0'
    file = (
        f'ProxyFCGISetEnvIf "true" SCRIPT_FILENAME "{folder}/tool.php"'  # only FPM reads Apache's own form of it
    )
    return [php, _apache(port, folder, f"{way}\n{file}")]


APACHE_CGI = (f"{APACHE_MODULES}/mod_cgi.so",)
APACHE_FCGI = (f"{APACHE_MODULES}/mod_proxy_fcgi.so", "/usr/bin/php-cgi")

SERVERS = [
    Server("gunicorn", _gunicorn, "SCRIPT_NAME: /assets"),
    Server("gunicorn-socket", _gunicorn_on_a_socket, "SCRIPT_NAME: /assets", socket=True),
    Server("uvicorn", _uvicorn, "X-Forwarded-For: 10.9.8.7"),
    Server("hypercorn", _hypercorn, "X-Forwarded-For: 10.9.8.7"),
    Server("waitress", _waitress, "X-Forwarded-For: 10.9.8.7"),
    Server("uwsgi", _uwsgi, "X-Forwarded-Proto: https", ("/usr/bin/uwsgi_python3",)),
    Server("apache-cgi", _cgi, "X-Forwarded-For: 10.9.8.7", APACHE_CGI),
    Server("apache-fcgi-php", _fcgi, "X-Forwarded-For: 10.9.8.7", APACHE_FCGI),
]
