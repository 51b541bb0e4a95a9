"""Creates the memory with the home that the settings name."""

import importlib
from contextlib import suppress
from pathlib import Path

from oauth_proxy.clock import Clock
from oauth_proxy.errors import ConfigurationError
from oauth_proxy.memory.bell import Bell
from oauth_proxy.memory.home import Home
from oauth_proxy.memory.memory import LARGEST, Memory
from oauth_proxy.memory.process import ProcessHome
from oauth_proxy.memory.records import Records
from oauth_proxy.seal import Sealer
from oauth_proxy.settings import Redis, Settings, Sqlite


def memory_for(
    settings: Settings,
    clock: Clock,
    private: Path | None = None,
    bell: Bell | None = None,
    *,
    may_wait: bool = False,
) -> Memory:
    """The memory that `session.store` names. It does not connect yet.

    Without a store, the workers of one proxy share the file `private`, which ends with the proxy; a process on its
    own keeps its memory to itself. `bell` is the one that all workers have.

    Raises ConfigurationError for a file that cannot be used, unless it `may_wait` until it can, and if the redis
    package is not installed.
    """
    session, site, sealer = settings.session, _site(settings), _sealer(settings)
    home = _home(settings, site, clock, private, may_wait=may_wait)
    return Memory(home, sealer, site, clock, session.lifetime, session.idle, bell or Bell())


def home_for(settings: Settings, clock: Clock) -> tuple[Home, Records]:
    """The home that `session.store` names, and what opens its records. Raises as `memory_for` does."""
    site = _site(settings)
    home = _home(settings, site, clock, None)
    return home, Records(_sealer(settings), site, home.name)


def _site(settings: Settings) -> str:
    """Proxies that share a cookie share the records of its sessions."""
    cookie = settings.session.cookie
    return f"oauth-proxy:{cookie.domain or settings.host}:{cookie.name}"


def _sealer(settings: Settings) -> Sealer:
    return Sealer(settings.session.keys, "memory", limit=LARGEST)


def import_home(settings: Settings) -> None:
    """Import the home that workers with these settings use."""
    name = "redis" if isinstance(settings.session.store, Redis) else "sqlite"
    with suppress(ModuleNotFoundError):  # `memory_for` says which package is missing
        importlib.import_module(f"oauth_proxy.memory.{name}")


def _home(settings: Settings, site: str, clock: Clock, private: Path | None, *, may_wait: bool = False) -> Home:
    match settings.session.store:
        case Sqlite(path):
            return _sqlite(path, site, clock, lasting=True, may_wait=may_wait)
        case Redis() as where:
            return _redis(where, site, settings.session.lifetime)
        case _ if private is not None:
            return _sqlite(private, site, clock, lasting=False, may_wait=may_wait)
        case _:
            return ProcessHome(clock)


# These imports are local, so that a proxy loads only the home it uses: SQLite costs 0.7 MiB and 10 ms.


def _sqlite(path: Path, site: str, clock: Clock, *, lasting: bool, may_wait: bool) -> Home:
    from oauth_proxy.memory.sqlite import SqliteHome

    return SqliteHome(path, site, clock, lasting=lasting, may_wait=may_wait)


def _redis(where: Redis, site: str, lifetime: float) -> Home:
    try:
        from oauth_proxy.memory.redis import RedisHome
    except ModuleNotFoundError as error:
        if not error.name or error.name.partition(".")[0] != "redis":
            raise
        raise ConfigurationError(
            ["session.store: redis:// needs the package redis: pip install 'frameio-oauth-proxy[redis]'"]
        ) from None
    return RedisHome(where, site, lifetime)
