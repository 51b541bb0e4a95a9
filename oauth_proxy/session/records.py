"""Sealed records in a Redis database: sessions, what has ended, whose turn it is. Whatever goes wrong is raised.

The law: Redis can read nothing of it, cannot pass one record off as another, and keeps none for ever.
"""

import json
import logging
import secrets
from collections.abc import Callable
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.asyncio.lock import Lock
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from oauth_proxy.oauth import digest
from oauth_proxy.seal import Sealer, Unsealable
from oauth_proxy.session.memory import Known
from oauth_proxy.session.store import decode, encode
from oauth_proxy.settings import Redis as Where
from oauth_proxy.settings import Settings

log = logging.getLogger(__name__)

BATCHES = 400
"""No reading of all that has ended takes more of them: Redis may keep some more entries than it is told to."""
DEADLINE = 1.0
"""Seconds Redis may take to connect, or to answer."""
TURN = 15.0
"""Seconds after which the turn of a replica that died is over; longer than a call to the provider may take."""
LARGEST = 1024 * 1024
"""Bytes of a session: two tokens of the longest answer we read, and more."""
FAILURES = (RedisError, OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""How the client fails: in its own words, in the network's, and in whatever nonsense for an answer leads to."""

_LOOK_AGAIN = 0.05
_CONNECTIONS, _QUEUE = 32, 5.0
_EPOCH_BYTES = 8
_BATCH = 500
_MOST_ENDED = 100_000

# A replica that was cut off for a while may not put an older session in a newer one's place.
_PUT = """
local at = redis.call('HGET', KEYS[1], 'at')
if at and tonumber(at) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'at', ARGV[1], 'sealed', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""

Entry = tuple[str, float]
"""What has ended, and when."""


class Records:
    """The records in the database that is `where`; nothing is asked of it yet.

    Proxies that share a cookie share their records, so the cookie's domain and name begin every key.
    `clock` tells seconds since the epoch.
    """

    def __init__(self, settings: Settings, where: Where, clock: Callable[[], float]) -> None:
        session = settings.session
        self._prefix = f"oauth-proxy:{session.cookie.domain or settings.host}:{session.cookie.name}"
        self._epoch, self._ended = f"{self._prefix}:epoch", f"{self._prefix}:ended"
        self._sealer = Sealer(session.keys, "redis", limit=LARGEST)
        self._lifetime, self._idle = session.lifetime, session.idle
        self._clock = clock
        self._read_to = b"0"
        self._client = Redis.from_pool(_pool(where))

    async def session(self, session_id: str) -> Known | None:
        """The session as it was last put."""
        key = self._key("session", session_id)
        sealed = await self._client.hget(key, "sealed")
        content = None if sealed is None else self._opened(sealed, key)
        session = decode(content[1:]) if content else None
        return Known(session, read=content[:1] == b"1") if content and session else None

    async def put(self, known: Known) -> None:
        """Keep it for the idle time: older cookies are not good for longer, so nobody asks for it after that."""
        session = known.session
        lasts = min(self._idle, session.created + self._lifetime - self._clock())
        if lasts <= 0:
            return
        key = self._key("session", session.id)
        sealed = self._sealer.seal((b"1" if known.read else b"0") + encode(session), key)
        await self._client.eval(_PUT, 1, key, repr(session.tokens.granted_at), sealed, str(_milliseconds(lasts)))

    async def forget(self, session_id: str) -> None:
        """Delete what was put."""
        await self._client.delete(self._key("session", session_id))

    def turn(self, session_id: str) -> Lock:
        """Held by one at a time; whoever dies with it delays the others by TURN seconds."""
        return self._client.lock(
            self._key("turn", session_id), timeout=TURN, sleep=_LOOK_AGAIN, blocking_timeout=TURN + DEADLINE
        )

    async def tell(self, entries: list[Entry]) -> None:
        """These have ended."""
        for at in range(0, len(entries), _BATCH):
            async with self._client.pipeline(transaction=False) as told:
                for entry in entries[at : at + _BATCH]:
                    sealed = self._sealer.seal(json.dumps(entry).encode(), self._ended)
                    told.xadd(self._ended, {"sealed": sealed}, maxlen=_MOST_ENDED)
                told.pexpire(self._ended, _milliseconds(self._lifetime))
                await told.execute()

    async def begin_epoch(self) -> object:
        """What names this database's memory until it is emptied; reading what has ended begins anew."""
        lasts = _milliseconds(self._lifetime)
        await self._client.set(self._epoch, secrets.token_hex(_EPOCH_BYTES), nx=True, px=lasts)
        epoch = await self._client.get(self._epoch)
        if not isinstance(epoch, bytes) or len(epoch) != 2 * _EPOCH_BYTES:
            raise RedisError("it does not keep what it is told")
        self._read_to = b"0"
        return epoch

    async def news(self) -> tuple[object, list[Entry], bool]:
        """The epoch, what has ended since the last call, and whether there is more."""
        async with self._client.pipeline(transaction=False) as asked:
            asked.get(self._epoch)
            asked.xread({self._ended: self._read_to}, count=_BATCH)
            epoch, streams = await asked.execute()
        entries: list[Entry] = []
        items: list[Any] = streams[0][1] if streams else []
        for at, fields in items:
            if not isinstance(at, bytes) or at == self._read_to:
                raise RedisError("its stream of what has ended cannot be read")
            content = self._opened(fields[b"sealed"], self._ended)
            if content is not None:
                what, when = json.loads(content)
                entries.append((what, when))
            self._read_to = at
        return epoch, entries, bool(items)

    async def close(self) -> None:
        """Hang up."""
        await self._client.aclose()

    def _key(self, kind: str, session_id: str) -> str:
        return f"{self._prefix}:{kind}:{digest(session_id)}"

    def _opened(self, sealed: object, key: str) -> bytes | None:
        """What was sealed for this key; None, and a line in the log, for what no proxy of ours has written."""
        try:
            return self._sealer.open(sealed.decode("latin-1") if isinstance(sealed, bytes) else "", key)
        except Unsealable:
            log.error("redis holds what this proxy cannot open; do all replicas have the same session.secret?")  # noqa: TRY400
            return None


def _pool(where: Where) -> BlockingConnectionPool:
    return BlockingConnectionPool(
        _CONNECTIONS,
        _QUEUE,
        connection_class=SSLConnection if where.tls else Connection,
        host=where.host,
        port=where.port,
        db=where.db,
        username=where.user,
        password=where.password,
        protocol=2,
        driver_info=None,
        retry=Retry(NoBackoff(), 0),  # a second try would hide that Redis was gone, and may have come back empty
        socket_timeout=DEADLINE,
        socket_connect_timeout=DEADLINE,
    )


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000) + 1
