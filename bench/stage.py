"""Everything a run needs, started and signed in: upstream, login providers, and a column for each proxy."""

import asyncio
import itertools
import os
import resource
import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from aiohttp import ClientResponse
from yarl import URL

from bench import peers
from bench.peers import NGINX, OURS, PEERS, Certificate, Peer, Place, World
from bench.programs import ALL_CORES, OTHER_CORE, PROXY_CORE, NotStartedError, Program, free_port
from bench.visitor import Visitor

MACHINE = len(ALL_CORES.split(","))
MIB, GIB = 1 << 20, 1 << 30
SITE = tuple(f"site-{number}" for number in range(14))
"""Styles, scripts and fonts that every page of a site has."""
FILES = {"small": 128, "16k": 16 * 1024, "1m": MIB, "1g": GIB} | {name: 4096 + n for n, name in enumerate(SITE)}
"""What the upstream has to give, in bytes; sparse, so that the disk is not measured."""
MOST_FILES = 16384  # descriptors
LONG = 86400.0  # seconds of an access token's life: no refresh disturbs a row that does not ask for one

_folders = itertools.count()


class NotSignedInError(Exception):
    """A login did not end where it should, so there is nothing to measure."""


@dataclass(frozen=True)
class Column:
    """A running proxy, or the upstream itself (`peer` None), and the header lines of a visitor who may enter."""

    name: str
    program: Program
    world: World
    peer: Peer | None
    public: int
    """The port that visitors know."""
    lines: tuple[str, ...] = ()
    tls: Certificate | None = None

    @property
    def url(self) -> str:
        """What visitors type."""
        return f"{'https' if self.tls else 'http'}://localhost:{self.public}"

    def port(self, path: str) -> int:
        """Where to ask for `path`: without a proxy, whoever answers it."""
        return self.world.live if self.peer is None and path.startswith("/live/") else self.program.port

    def head(self, method: str, path: str, *lines: str) -> bytes:
        """The head of a request, signed in."""
        first = (f"{method} {path} HTTP/1.1", f"Host: localhost:{self.public}")
        return "\r\n".join((*first, *self.lines, *lines, "", "")).encode()

    @contextmanager
    def again(self) -> Iterator["Column"]:
        """The same proxy in a new process, which lets the same visitor in."""
        if self.peer is None:
            raise ValueError("the upstream is started once")
        with running(self.peer, self.world, self.public, free_port(), self.tls) as program:
            yield replace(self, program=program)

    @contextmanager
    def whole_machine(self, workers: int = MACHINE) -> Iterator["Column"]:
        """The same proxy in as many processes as it is told, on all cores."""
        if self.peer is None:
            raise ValueError("the upstream is started once")
        with running(self.peer, self.world, self.public, free_port(), self.tls, workers=workers) as program:
            yield replace(self, program=program)


@dataclass
class Stage:
    """What a run has: its columns in order, their versions, and who is missing and why."""

    world: World
    columns: list[Column]
    versions: dict[str, str]
    missing: dict[str, str]


@contextmanager
def set_up(folder: Path, names: Collection[str] = ()) -> Iterator[Stage]:
    """Start everything that can be started. `names` picks columns beside ours; none means all."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    os.sched_setaffinity(0, {OTHER_CORE})
    if reason := NGINX.missing():
        raise NotStartedError(f"nginx is the upstream of every column, and it is {reason}")
    folder.chmod(0o755)  # nginx and Apache give up root before they read
    world = World(free_port(), free_port(), free_port(), folder, Certificate.issue(folder))
    with ExitStack() as stack:
        stage = Stage(world, [], {}, {})
        upstream = stack.enter_context(_upstream(world))
        stack.enter_context(module(world, "bench.live", world.live, str(world.live)))
        stack.enter_context(module(world, "oidc_provider_mock", world.issuer, "--port", str(world.issuer)))
        if not names or "direct" in names:
            stage.columns.append(Column("direct", upstream, world, None, world.upstream))
        for peer in PEERS:
            if peer is OURS or not names or peer.name in names:
                _join(stage, stack, peer)
        yield stage


def _join(stage: Stage, stack: ExitStack, peer: Peer) -> None:
    """Add a column, or the reason why there is none. Ours must be there."""
    if reason := peer.missing():
        stage.missing[peer.name] = reason
        return
    try:
        column = stack.enter_context(entered(peer, stage.world))
    except (NotStartedError, NotSignedInError) as error:
        if peer is OURS:
            raise
        stage.missing[peer.name] = f"could not be started and signed in: {error}"
        return
    stage.columns.append(column)
    stage.versions[peer.name] = peer.version()


@contextmanager
def entered(peer: Peer, world: World, *, tls: bool = False, access_lifetime: float = LONG) -> Iterator[Column]:
    """That proxy in a new process with a public URL of its own, and a visitor who has signed in there."""
    world, port = replace(world, frameio=free_port()), free_port()
    certificate = world.certificate if tls else None
    with ExitStack() as stack:
        program = stack.enter_context(running(peer, world, port, port, certificate))
        column = Column(peer.name, program, world, peer, port, tls=certificate)
        if peer.login == "frameio":
            stack.enter_context(emulated_frameio(world, column.url, access_lifetime))
        if peer.login:
            column = replace(column, lines=(asyncio.run(sign_in(column)),))
        yield column


@contextmanager
def running(
    peer: Peer, world: World, public: int, port: int, tls: Certificate | None = None, *, workers: int | None = None
) -> Iterator[Program]:
    """A new process of that proxy on `port`; its visitors are told of the port `public`.

    With a number of `workers` it has all cores, else one.
    """
    folder = world.folder / f"{peer.name}-{next(_folders)}"
    folder.mkdir()
    command = peer.launch(world, Place(port, public, folder, tls, workers or 1))
    core = ALL_CORES if workers else PROXY_CORE
    environ = bytecode(world) | dict(peer.environ)
    program = Program(command, port=port, core=core, log=folder / "log", environ=environ)
    with program:
        yield program


def bytecode(world: World) -> dict[str, str]:
    """Python's proxies start from bytecode, as installed packages do; the first process of each writes it."""
    return {"PYTHONPYCACHEPREFIX": str(world.folder / "bytecode"), "PYTHONDONTWRITEBYTECODE": ""}


def module(world: World, name: str, port: int, *arguments: str, core: int = OTHER_CORE) -> Program:
    """A Python module, on the core of the upstream unless told otherwise."""
    return Program(
        [sys.executable, "-m", name, *arguments],
        port=port,
        core=core,
        log=world.folder / f"{name}-{port}.log",
        environ=bytecode(world),
    )


def emulated_frameio(world: World, public_url: str, access_lifetime: float) -> Program:
    """The emulated Frame.io for the proxy with that address; its access tokens live that many seconds."""
    arguments = (str(world.frameio), public_url, world.client_secret, str(access_lifetime))
    return module(world, "bench.frameio", world.frameio, *arguments)


def _upstream(world: World) -> Program:
    files = world.folder / "files"
    files.mkdir(mode=0o755)
    for name, size in FILES.items():
        with (files / name).open("wb") as file:
            file.truncate(size)
    server = f"""
        open_file_cache max=64;
        server {{
            listen 127.0.0.1:{world.upstream} backlog=2048;
            root {files};
            location /post {{ return 200 "taken"; }}
            location /review/ {{ try_files /16k =404; }}
            location /assets/ {{ try_files /small =404; }}
        }}"""
    folder = world.folder / "upstream"
    folder.mkdir()
    command = peers.nginx_command(folder, server)
    return Program(command, port=world.upstream, core=OTHER_CORE, log=world.folder / "upstream.log")


async def sign_in(column: Column) -> str:
    """The Cookie line of somebody who went through the login of the column's proxy.

    Raises NotSignedInError when a stranger gets in, or whoever has signed in does not.
    """
    page = f"{column.url}/small"
    authority = str(column.world.certificate.authority)
    async with Visitor(authority) as stranger:
        answer = await stranger.follow(page)
        if answer.status == 200 and answer.url == URL(page):
            raise NotSignedInError(f"{column.name} lets strangers in")
    async with Visitor(authority) as visitor:
        if column.peer is not None and column.peer.login == "frameio":
            answer = await visitor.login(page)
        else:
            answer = await _oidc_login(visitor, page)
        if answer.status != 200 or len(await answer.read()) != FILES["small"]:
            raise NotSignedInError(f"{column.name}'s login ended with {answer.status} at {answer.url}")
        return visitor.cookie_line(page)


async def _oidc_login(visitor: Visitor, page: str) -> ClientResponse:
    """From a page through the OpenID provider's form to the page."""
    form = await visitor.follow(page)
    if form.status != 200:
        raise NotSignedInError(f"no login form, but {form.status} at {form.url.with_query(None)}")
    return await visitor.send(form.url, {"sub": "editor@studio.example.com"})
