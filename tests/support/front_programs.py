"""nginx, Caddy, HAProxy and Apache from Debian as processes, each with one site and in a folder of its own."""

import asyncio
import os
import re
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, suppress
from pathlib import Path

import aiohttp
import pytest

from tests.support.places import ROOT
from tests.support.tool_servers import APACHE_MODULES
from tests.support.units import PATIENCE

Start = Callable[[str, Path, list[str]], AbstractAsyncContextManager[None]]
"""What starts a program: with this site, which keeps its files in that folder and what it says in that list."""

_NGINX_SCRIPTS = "/usr/lib/nginx/modules/ngx_http_js_module.so"

_NGINX = """
daemon off;
pid nginx.pid;
error_log stderr notice;
{as_root}
{modules}
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include recipe.conf;
}}
"""
"""What Debian's /etc/nginx/nginx.conf is to a file in conf.d, on a folder of its own."""

_CADDY = """
{
    admin off
    auto_https off
    default_bind 127.0.0.1
}
import recipe
"""

_APACHE = """
ServerRoot "{folder}"
ServerName localhost
PidFile "{folder}/apache.pid"
DefaultRuntimeDir "{folder}"
DocumentRoot "{folder}/site"
ErrorLog /dev/stderr
LogLevel notice
{modules}
StartServers 1
ServerLimit 2
MaxRequestWorkers 50
Include "{folder}/recipe.conf"
"""
"""What Debian's /etc/apache2/apache2.conf is to a file in sites-enabled, with these modules enabled."""

_TRAEFIK = """
log: {{level: INFO}}
providers: {{file: {{directory: "{folder}/dynamic"}}}}
entryPoints:
{entry_points}
"""
_TRAEFIK_TLS = "tls: {{certificates: [{{certFile: {folder}/tls.pem, keyFile: {folder}/tls.pem}}]}}"
"""Where the certificate stands, a recipe does not say: that is the same for all sites."""
TRAEFIK = ROOT / ".venv-e2e/bin/traefik"
"""What `make e2e` builds."""

_ALWAYS_THERE = ("mpm_event", "authz_core", "alias", "reqtimeout")
"""Modules that Debian enables; a site names the others in `a2enmod`."""


@asynccontextmanager
async def nginx(recipe: str, folder: Path, said: list[str]) -> AsyncIterator[None]:
    """Debian's nginx."""
    program = installed("nginx", "/usr/sbin/nginx")
    modules = ""
    if "js_import" in recipe:
        modules = f"load_module {installed('libnginx-mod-http-js', _NGINX_SCRIPTS)};"
    as_root = "user root;" if os.geteuid() == 0 else ""
    (folder / "recipe.conf").write_text(recipe, "utf-8")
    (folder / "nginx.conf").write_text(_NGINX.format(as_root=as_root, modules=modules), "utf-8")
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    async with serving_once(command, "start worker process", {}, said):
        yield


@asynccontextmanager
async def caddy(recipe: str, folder: Path, said: list[str]) -> AsyncIterator[None]:
    """Debian's Caddy."""
    program = installed("caddy", "/usr/bin/caddy")
    (folder / "recipe").write_text(recipe, "utf-8")
    (folder / "Caddyfile").write_text(_CADDY, "utf-8")
    command = [program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    homes = {name: str(folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    async with serving_once(command, "serving initial configuration", homes, said):
        yield


@asynccontextmanager
async def haproxy(recipe: str, folder: Path, said: list[str]) -> AsyncIterator[None]:
    """Debian's HAProxy; the file is all that it reads."""
    program = installed("haproxy", "/usr/sbin/haproxy")
    (folder / "haproxy.cfg").write_text(recipe, "utf-8")
    # -W: a master, which says when its worker is ready; -db: in the foreground.
    command = [program, "-W", "-db", "-f", str(folder / "haproxy.cfg")]
    async with serving_once(command, "Loading success.", {}, said):
        yield


@asynccontextmanager
async def apache(recipe: str, folder: Path, said: list[str]) -> AsyncIterator[None]:
    """Debian's Apache, with the modules that the site's `a2enmod` line names."""
    program = installed("apache2", "/usr/sbin/apache2")
    [line] = [line for line in recipe.splitlines() if "a2enmod" in line]
    names = [*_ALWAYS_THERE, *line.partition("a2enmod ")[2].split()]
    # What a2enmod enables with them.
    names += ["socache_shmcb"] if "ssl" in names else []
    loads = [f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so" for name in names]
    (folder / "site").mkdir(exist_ok=True)
    (folder / "recipe.conf").write_text(recipe, "utf-8")
    (folder / "apache.conf").write_text(_APACHE.format(folder=folder, modules="\n".join(loads)), "utf-8")
    async with serving_once(
        [program, "-D", "FOREGROUND", "-f", str(folder / "apache.conf")], "resuming normal operations", {}, said
    ):
        yield


@asynccontextmanager
async def traefik(recipe: str, folder: Path, said: list[str]) -> AsyncIterator[None]:
    """Traefik with the entry points of the recipe's comment."""
    if not TRAEFIK.exists():
        pytest.skip("make e2e builds Traefik")
    [comment] = re.findall(r"^#     entryPoints:\n((?:#      .*\n)+)", recipe, re.MULTILINE)
    (folder / "dynamic").mkdir()
    (folder / "dynamic/recipe.yaml").write_text(recipe, "utf-8")
    (folder / "dynamic/tls.yaml").write_text(_TRAEFIK_TLS.format(folder=folder), "utf-8")
    entry_points = comment.replace("#     ", "")
    (folder / "traefik.yaml").write_text(_TRAEFIK.format(folder=folder, entry_points=entry_points), "utf-8")
    command = [str(TRAEFIK), f"--configFile={folder}/traefik.yaml"]
    [port] = re.findall(r"address: 127\.0\.0\.1:(\d+)", entry_points)[:1]
    async with serving_once(command, "Starting provider *traefik.Provider", {}, said, quiet=False):
        await _routes(f"https://localhost:{port}/", said)
        yield


async def _routes(url: str, said: list[str]) -> None:
    """Returns once there is an answer other than Traefik's own 404: it reads its routers after it listens."""
    async with aiohttp.ClientSession() as http, asyncio.timeout(PATIENCE):
        while True:
            with suppress(aiohttp.ClientError):
                async with http.get(url, ssl=False, allow_redirects=False) as answer:
                    if answer.status != 404:
                        return
            assert not [line for line in said if "ERR" in line], "".join(said)
            await asyncio.sleep(0.05)


def installed(package: str, path: str) -> str:
    """The path, if it is there; the test is skipped where it is not, and says which package has it."""
    if not Path(path).exists():
        pytest.skip(f"{path} is not there: apt-get install {package}")
    return path


@asynccontextmanager
async def serving_once(
    command: Sequence[str], sign: str, environ: Mapping[str, str], said: list[str], *, quiet: bool = True
) -> AsyncIterator[None]:
    """A server from the moment it says `sign`; what it writes goes to `said`. It is stopped at the end."""
    # A pipe of our own: uvloop's is a socket, and Apache opens /dev/stderr, which it cannot do with one.
    reading, writing = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=DEVNULL,
            stdout=DEVNULL if quiet else writing,
            stderr=writing,
            env={**os.environ, **environ},
        )
    finally:
        os.close(writing)
    is_up = asyncio.Event()
    listening = asyncio.create_task(_listen(reading, sign, is_up, said))
    try:
        async with asyncio.timeout(PATIENCE):
            await is_up.wait()
        assert any(sign in line for line in said), "".join(said)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(PATIENCE):
                await process.wait()
        except TimeoutError:
            process.kill()
            raise
        await listening


async def _listen(pipe: int, sign: str, is_up: asyncio.Event, said: list[str]) -> None:
    """Notes each line, and says when the sign was among them, or when the server ended without it."""
    lines = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines),
        open(pipe, "rb", buffering=0),  # noqa: ASYNC230, SIM115 a pipe
    )
    with closing(transport):
        async for line in lines:
            said.append(line.decode("utf-8", "replace"))
            if sign in said[-1]:
                is_up.set()
        is_up.set()
