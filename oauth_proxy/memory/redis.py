"""The home in Redis, for proxies on several machines: one server, one watched by Sentinels, or a cluster."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from oauth_proxy.memory.home import BATCH, DEADLINE, NONSENSE, Hazard, Record
from oauth_proxy.settings import Redis as Where

_AT_ONCE = 32
"""Commands in progress at a time; each uses its own connection."""
_PATIENCE = 5.0
"""Seconds for one reply, including the wait for a connection and for the cluster's node list."""
_EPOCH_BYTES = 8
_KEEPS = "noeviction"

# A process that was disconnected for a while must not replace a newer record with an older one.
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
# An end is dropped, by the server's clock, once the session would have ended anyway. It is not dropped earlier,
# however many ends follow it.
_TELL = """
local oldest = redis.call('TIME')[1] * 1000 - tonumber(ARGV[1])
redis.call('XADD', KEYS[1], 'MINID', '~', string.format('%.0f', oldest), '*', 'sealed', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
"""
# A server that was killed may be back, with an older snapshot of the same content, before anybody saw it away. So
# the run of the server counts, too. One that does not tell it is believed.
# The id is kept for as long as somebody asks for it: where it runs out, all is told anew.
_EPOCH = """
redis.call('PEXPIRE', KEYS[1], ARGV[1])
local told = redis.pcall('INFO', 'server')
local run = type(told) == 'string' and string.match(told, 'run_id:(%x+)') or ''
return {redis.call('GET', KEYS[1]), run}
"""
_GIVE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""


class RedisHome:
    """A home in the Redis database at `where`. It does not connect yet.

    `site` separates proxies that do not share a cookie. Ends are kept for `lifetime` seconds.
    """

    name = "redis"
    lasting = shared = True
    failures: tuple[type[Exception], ...] = (RedisError, RedisClusterException, OSError, *NONSENSE)

    def __init__(self, where: Where, site: str, lifetime: float) -> None:
        # A hash tag in braces: a cluster stores all keys of a site on one node, so one command may use several.
        self._prefix = f"{{{site}}}" if where.mode == "cluster" else site
        self._epoch, self._ended = self._full("epoch"), self._full("ended")
        self._lifetime = lifetime
        self._read_to = b"0"
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._sentinels = _sentinels(where) if where.mode == "sentinel" else None
        self._client: Any = _client(
            where, self._sentinels
        )  # its type hints do not know that replies are bytes here

    async def open(self) -> object:
        """An id stored in the database, which changes when that was emptied, and the run of the server."""
        name, lasts = secrets.token_hex(_EPOCH_BYTES), _milliseconds(self._lifetime)
        await self._asked(self._client.set, self._epoch, name, nx=True, px=lasts)
        epoch: list[Any] = await self._asked(self._client.eval, _EPOCH, 1, self._epoch, str(lasts))
        if not isinstance(epoch[0], bytes) or len(epoch[0]) != 2 * _EPOCH_BYTES:
            raise RedisError("it does not keep what it is told")
        self._read_to = b"0"
        return epoch

    async def get(self, key: str) -> str | None:
        """The sealed text under the key."""
        sealed = await self._asked(self._client.hget, self._full(key), "sealed")
        return None if sealed is None else _text(sealed)

    async def put(self, *records: Record) -> None:
        """Store each record, unless there is a later one with its key."""
        async with self._client.pipeline(transaction=False) as put:
            for record in records:
                put.eval(_PUT, *self._arguments(record))
            await self._asked(put.execute)

    async def add(self, record: Record) -> bool:
        """Store the record if there is none with its key. Returns whether it was stored."""
        return bool(await self._asked(self._client.eval, _ADD, *self._arguments(record)) == 1)

    async def delete(self, *keys: str) -> None:
        """Delete these records."""
        await self._asked(self._client.delete, *map(self._full, keys))

    async def every(self, kind: str) -> AsyncIterator[tuple[str, str]]:
        """All keys of this kind, with their sealed texts. Some may come twice, and new ones be missing."""
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
        """Take the lease. It expires by itself, by the clock of Redis."""
        how = {"nx": True, "px": _milliseconds(lasts)}
        return bool(await self._asked(self._client.set, self._full(key), owner, **how))

    async def give(self, key: str, owner: str) -> bool:
        """Release the lease; False if this owner no longer had it."""
        return bool(await self._asked(self._client.eval, _GIVE, 1, self._full(key), owner) == 1)

    async def tell(self, ends: Sequence[Record]) -> None:
        """Publish ends; drop those older than `lifetime`."""
        async with self._client.pipeline(transaction=False) as told:
            for end in ends:
                told.eval(_TELL, 1, self._ended, str(_milliseconds(self._lifetime)), end.sealed)
            await self._asked(told.execute)

    async def news(self) -> tuple[object, list[str], bool]:
        """The id of the content, the sealed ends since the last call, and whether there may be more."""
        async with self._client.pipeline(transaction=False) as asked:
            asked.eval(_EPOCH, 1, self._epoch, str(_milliseconds(self._lifetime)))
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

    async def hazard(self) -> Hazard | None:
        """Whether it evicts what it holds when its memory is full: sign-outs would be forgotten."""
        try:
            told = await self._asked(self._client.info, "memory")
        except ResponseError:  # an ACL, or a service that does not tell
            return None
        nodes = [each for each in told.values() if isinstance(each, dict)] or [
            told
        ]  # a cluster tells of each node
        policies = {str(each.get("maxmemory_policy", _KEEPS)) for each in nodes} - {_KEEPS}
        if not policies:
            return None
        return Hazard(
            f"forgets sign-outs when its memory is full: maxmemory-policy is {', '.join(sorted(policies))}.",
            f"Set maxmemory-policy {_KEEPS} there, or give the proxy a Redis of its own.",
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()
        for sentinel in self._sentinels.sentinels if self._sentinels else ():
            await sentinel.aclose()

    async def _asked(self, ask: Callable[..., Awaitable[Any]], *arguments: object, **options: object) -> Any:
        """Run a command and return its reply. Raises TimeoutError if there is none in time."""
        async with asyncio.timeout(_PATIENCE), self._slots:
            return await ask(*arguments, **options)

    async def _texts(self, keys: Sequence[bytes]) -> list[tuple[str, str]]:
        """The keys and their texts, without expired ones."""
        async with self._client.pipeline(transaction=False) as asked:
            for key in keys:
                asked.hget(key, "sealed")
            found = await self._asked(asked.execute)
        before = self._full("")
        pairs = zip(keys, found, strict=True)
        return [(_text(key).removeprefix(before), _text(text)) for key, text in pairs if text is not None]

    def _arguments(self, record: Record) -> tuple[object, ...]:
        """The arguments of a script for a record: the number of keys, the key, and the values."""
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
    if (
        where.password
    ):  # only the servers may have one; a sentinel without a password refuses clients that send one
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
        # A retry would hide a restart of Redis, after which it may be empty.
        "retry": Retry(NoBackoff(), 0),
    }


def _text(reply: object) -> str:
    """A reply as text; any other reply becomes an empty text, which cannot be opened."""
    return reply.decode("latin-1") if isinstance(reply, bytes) else ""


def _literal(text: str) -> str:
    """Escape the text for a Redis pattern, so that it matches only itself."""
    return "".join(f"\\{character}" if character in "*?[]^\\" else character for character in text)


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000) + 1
