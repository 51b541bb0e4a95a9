"""The memory in Redis: one server, one that Sentinels watch, or a cluster; for proxies on several machines."""

import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, Redis, RedisCluster, Sentinel, SSLConnection
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.lock import Lock
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import LockNotOwnedError, RedisError

from oauth_proxy.memory import home
from oauth_proxy.memory.home import BATCH, DEADLINE, Record
from oauth_proxy.settings import Redis as Where

_CONNECTIONS, _QUEUE = 32, 5.0
_EPOCH_BYTES = 8

# A process that was cut off for a while may not put an older record in a newer one's place.
_PUT = """
local at = redis.call('HGET', KEYS[1], 'at')
if at and tonumber(at) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'at', ARGV[1], 'sealed', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""
_ADD = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'at', ARGV[1], 'sealed', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""
# By the server's clock: an end may be forgotten once the session would have ended anyway, and no number of later
# ones pushes it out before.
_TELL = """
local oldest = redis.call('TIME')[1] * 1000 - tonumber(ARGV[1])
redis.call('XADD', KEYS[1], 'MINID', '~', string.format('%.0f', oldest), '*', 'sealed', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
"""


class RedisHome:
    """The database that is `where`; nothing is asked of it yet.

    `site` tells proxies apart that do not share their cookie. Ends are kept for `lifetime` seconds.
    """

    name = "redis"
    lasting = True
    # How the client fails: in its own words, in the network's, and in whatever nonsense for an answer leads to.
    failures: tuple[type[Exception], ...] = (
        *(RedisError, OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError),
    )

    def __init__(self, where: Where, site: str, lifetime: float) -> None:
        # In braces: a cluster keeps all keys of a site on one node, so one question may be about several of them.
        self._prefix = f"{{{site}}}" if where.mode == "cluster" else site
        self._epoch, self._ended = self._full("epoch"), self._full("ended")
        self._lifetime = lifetime
        self._read_to = b"0"
        self._client: Any = _client(where)  # its types do not know that answers are bytes here

    async def open(self) -> object:
        """A name that stands in it until it is emptied."""
        name = secrets.token_hex(_EPOCH_BYTES)
        await self._client.set(self._epoch, name, nx=True, px=_milliseconds(self._lifetime))
        epoch = await self._client.get(self._epoch)
        if not isinstance(epoch, bytes) or len(epoch) != 2 * _EPOCH_BYTES:
            raise RedisError("it does not keep what it is told")
        self._read_to = b"0"
        return epoch

    async def get(self, key: str) -> str | None:
        """The sealed text under the key."""
        sealed = await self._client.hget(self._full(key), "sealed")
        return None if sealed is None else _text(sealed)

    async def put(self, record: Record) -> None:
        """Keep it, unless there is a later one."""
        await self._run(_PUT, record)

    async def add(self, record: Record) -> bool:
        """Keep it, unless there is one."""
        return bool(await self._run(_ADD, record) == 1)

    async def delete(self, *keys: str) -> None:
        """Forget these."""
        await self._client.delete(*map(self._full, keys))

    async def every(self, kind: str) -> AsyncIterator[tuple[str, str]]:
        """Keys of this kind, each with its sealed text; what is added meanwhile may be missing."""
        before = self._full("")
        async for full in self._client.scan_iter(match=f"{_literal(before)}{kind}:*", count=BATCH):
            key = _text(full).removeprefix(before)
            if (sealed := await self.get(key)) is not None:
                yield key, sealed

    def turn(self, key: str) -> "_Turn":
        """Held by one at a time; whoever dies with it delays the others by TURN seconds."""
        lock = self._client.lock(
            self._full(key),
            timeout=home.TURN,
            sleep=home.LOOK_AGAIN,
            blocking_timeout=home.TURN + home.DEADLINE,
        )
        return _Turn(lock)

    async def tell(self, ends: Sequence[Record]) -> None:
        """These have ended; those that the lifetime has ended since are dropped."""
        for at in range(0, len(ends), BATCH):
            async with self._client.pipeline(transaction=False) as told:
                for end in ends[at : at + BATCH]:
                    told.eval(_TELL, 1, self._ended, str(_milliseconds(self._lifetime)), end.sealed)
                await told.execute()

    async def news(self) -> tuple[object, list[str], bool]:
        """The epoch, what has ended since the last call, and whether there may be more."""
        async with self._client.pipeline(transaction=False) as asked:
            asked.get(self._epoch)
            asked.xread({self._ended: self._read_to}, count=BATCH)
            epoch, streams = await asked.execute()
        items: list[Any] = streams[0][1] if streams else []
        sealed = []
        for at, fields in items:
            if not isinstance(at, bytes) or at == self._read_to:
                raise RedisError("its stream of what has ended cannot be read")
            sealed.append(_text(fields[b"sealed"]))
            self._read_to = at
        return epoch, sealed, bool(items)

    async def close(self) -> None:
        """Hang up."""
        await self._client.aclose()

    async def _run(self, script: str, record: Record) -> object:
        arguments = (repr(record.at), record.sealed, str(_milliseconds(record.lasts)))
        return await self._client.eval(script, 1, self._full(record.key), *arguments)

    def _full(self, key: str) -> str:
        return f"{self._prefix}:{key}"


class _Turn:
    def __init__(self, lock: Lock) -> None:
        self._lock = lock

    async def acquire(self) -> bool:
        return bool(await self._lock.acquire())

    async def release(self) -> bool:
        try:
            await self._lock.release()
        except LockNotOwnedError:
            return False
        return True


def _client(where: Where) -> Redis | RedisCluster:
    how: dict[str, Any] = {
        "username": where.user,
        "password": where.password,
        "protocol": 2,
        "driver_info": None,
        "socket_timeout": DEADLINE,
        "socket_connect_timeout": DEADLINE,
        # A second try would hide that Redis was gone, and may have come back empty.
        "retry": Retry(NoBackoff(), 0),
    }
    if where.mode == "cluster":
        nodes = [ClusterNode(host, port) for host, port in where.nodes]
        return RedisCluster(startup_nodes=nodes, ssl=where.tls, cluster_error_retry_attempts=1, **how)
    if where.mode == "sentinel":
        sentinels = Sentinel(  # type: ignore[no-untyped-call]
            where.nodes, sentinel_kwargs={**how, "ssl": where.tls}, **how, ssl=where.tls
        )
        master: Redis = sentinels.master_for(where.service or "", db=where.db)
        return master
    pool = BlockingConnectionPool(
        _CONNECTIONS,
        _QUEUE,
        connection_class=SSLConnection if where.tls else Connection,
        host=where.host,
        port=where.port,
        db=where.db,
        **how,
    )
    return Redis.from_pool(pool)


def _text(answer: object) -> str:
    """A text of Redis'; what is none becomes a text that nobody can open."""
    return answer.decode("latin-1") if isinstance(answer, bytes) else ""


def _literal(text: str) -> str:
    """The text in a pattern of Redis' that fits this text only."""
    return "".join(f"\\{character}" if character in "*?[]^\\" else character for character in text)


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000) + 1
