"""The memory in Redis: one server, one that Sentinels watch, or a cluster; for proxies on several machines."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from oauth_proxy.memory.home import BATCH, DEADLINE, NONSENSE, Record
from oauth_proxy.settings import Redis as Where

_AT_ONCE = 32
"""Questions on their way, each on a connection of its own."""
_PATIENCE = 5.0
"""Seconds for one answer, the wait for a connection and for the node to ask included."""
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
_GIVE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""


class RedisHome:
    """The database that is `where`; nothing is asked of it yet.

    `site` tells proxies apart that do not share their cookie. Ends are kept for `lifetime` seconds.
    """

    name = "redis"
    lasting = True
    failures: tuple[type[Exception], ...] = (RedisError, RedisClusterException, OSError, *NONSENSE)

    def __init__(self, where: Where, site: str, lifetime: float) -> None:
        # In braces: a cluster keeps all keys of a site on one node, so one question may be about several of them.
        self._prefix = f"{{{site}}}" if where.mode == "cluster" else site
        self._epoch, self._ended = self._full("epoch"), self._full("ended")
        self._lifetime = lifetime
        self._read_to = b"0"
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._sentinels = _sentinels(where) if where.mode == "sentinel" else None
        self._client: Any = _client(where, self._sentinels)  # its types do not know that answers are bytes here

    async def open(self) -> object:
        """A name that stands in it until it is emptied."""
        name, lasts = secrets.token_hex(_EPOCH_BYTES), _milliseconds(self._lifetime)
        await self._asked(self._client.set, self._epoch, name, nx=True, px=lasts)
        epoch = await self._asked(self._client.get, self._epoch)
        if not isinstance(epoch, bytes) or len(epoch) != 2 * _EPOCH_BYTES:
            raise RedisError("it does not keep what it is told")
        self._read_to = b"0"
        return epoch

    async def get(self, key: str) -> str | None:
        """The sealed text under the key."""
        sealed = await self._asked(self._client.hget, self._full(key), "sealed")
        return None if sealed is None else _text(sealed)

    async def put(self, *records: Record) -> None:
        """Keep each, unless there is a later one."""
        async with self._client.pipeline(transaction=False) as put:
            for record in records:
                put.eval(_PUT, *self._arguments(record))
            await self._asked(put.execute)

    async def add(self, record: Record) -> bool:
        """Keep it, unless there is one."""
        return bool(await self._asked(self._client.eval, _ADD, *self._arguments(record)) == 1)

    async def delete(self, *keys: str) -> None:
        """Forget these."""
        await self._asked(self._client.delete, *map(self._full, keys))

    async def every(self, kind: str) -> AsyncIterator[tuple[str, str]]:
        """Keys of this kind, each with its sealed text; some twice, and what is added meanwhile may be missing."""
        before = self._full("")
        keys: list[bytes] = []
        async for key in self._client.scan_iter(match=f"{_literal(before)}{kind}:*", count=BATCH):
            keys.append(key)
            if len(keys) == BATCH:
                for found in await self._texts(keys):
                    yield found
                keys = []
        for found in await self._texts(keys):
            yield found

    async def take(self, key: str, owner: str, lasts: float) -> bool:
        """Take the turn; by Redis' clock it is over by itself."""
        how = {"nx": True, "px": _milliseconds(lasts)}
        return bool(await self._asked(self._client.set, self._full(key), owner, **how))

    async def give(self, key: str, owner: str) -> bool:
        """Give the turn back; False where it was this owner's no more."""
        return bool(await self._asked(self._client.eval, _GIVE, 1, self._full(key), owner) == 1)

    async def tell(self, ends: Sequence[Record]) -> None:
        """These have ended; those that the lifetime has ended since are dropped."""
        async with self._client.pipeline(transaction=False) as told:
            for end in ends:
                told.eval(_TELL, 1, self._ended, str(_milliseconds(self._lifetime)), end.sealed)
            await self._asked(told.execute)

    async def news(self) -> tuple[object, list[str], bool]:
        """The epoch, what has ended since the last call, and whether there may be more."""
        async with self._client.pipeline(transaction=False) as asked:
            asked.get(self._epoch)
            asked.xread({self._ended: self._read_to}, count=BATCH)
            epoch, streams = await self._asked(asked.execute)
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
        for sentinel in self._sentinels.sentinels if self._sentinels else ():
            await sentinel.aclose()

    async def _asked(self, ask: Callable[..., Awaitable[Any]], *arguments: object, **options: object) -> Any:
        """The answer. Raises TimeoutError where there is none in time."""
        async with asyncio.timeout(_PATIENCE), self._slots:
            return await ask(*arguments, **options)

    async def _texts(self, keys: Sequence[bytes]) -> list[tuple[str, str]]:
        """What stands under these keys, without those that are gone."""
        async with self._client.pipeline(transaction=False) as asked:
            for key in keys:
                asked.hget(key, "sealed")
            found = await self._asked(asked.execute)
        before = self._full("")
        pairs = zip(keys, found, strict=True)
        return [(_text(key).removeprefix(before), _text(text)) for key, text in pairs if text is not None]

    def _arguments(self, record: Record) -> tuple[object, ...]:
        """The number of keys of a script, the key, and what it is told of the record."""
        return 1, self._full(record.key), repr(record.at), record.sealed, str(_milliseconds(record.lasts))

    def _full(self, key: str) -> str:
        return f"{self._prefix}:{key}"


def _client(where: Where, sentinels: Sentinel | None) -> Redis | RedisCluster:
    if sentinels is not None:
        master: Redis = sentinels.master_for(where.service or "", db=where.db)
        return master
    if where.mode == "cluster":
        nodes = [ClusterNode(host, port) for host, port in where.nodes]
        return RedisCluster(startup_nodes=nodes, **_how(where))
    return Redis(host=where.host, port=where.port, db=where.db, **_how(where))


def _sentinels(where: Where) -> Sentinel:
    how = _how(where)
    sentinels = Sentinel(where.nodes, sentinel_kwargs=how, **how)  # type: ignore[no-untyped-call]
    if where.password:  # it may be the servers' only: a sentinel that has none refuses whoever tells it one
        silent = {**how, "username": None, "password": None}
        sentinels.sentinels += [Redis(host=host, port=port, **silent) for host, port in where.nodes]
    return sentinels


def _how(where: Where) -> dict[str, Any]:
    return {
        "username": where.user,
        "password": where.password,
        "ssl": where.tls,
        "protocol": 2,
        "driver_info": None,
        "socket_timeout": DEADLINE,
        "socket_connect_timeout": DEADLINE,
        # A second try would hide that Redis was gone, and may have come back empty.
        "retry": Retry(NoBackoff(), 0),
    }


def _text(answer: object) -> str:
    """A text of Redis'; what is none becomes a text that nobody can open."""
    return answer.decode("latin-1") if isinstance(answer, bytes) else ""


def _literal(text: str) -> str:
    """The text in a pattern of Redis' that fits this text only."""
    return "".join(f"\\{character}" if character in "*?[]^\\" else character for character in text)


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000) + 1
