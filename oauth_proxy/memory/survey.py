"""A look into the store that changes nothing: whose records lie there, and what could make it forget them.

The law: no record is written, so that whoever asks with another secret disturbs nobody.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import NamedTuple

from oauth_proxy.identity import decode
from oauth_proxy.memory.home import Hazard, Home
from oauth_proxy.memory.memory import Note
from oauth_proxy.memory.records import Records, read
from oauth_proxy.memory.revocations import Revocation

_MOST = 2000
"""Records of a kind that are looked at."""
_READERS: dict[str, Callable[[bytes], object]] = {"seen": partial(read, Note), "session": decode}


class Survey(NamedTuple):
    """How many of the records could be read, opened only, or not even opened; and what is wrong with the place."""

    ours: int
    of_other_version: int
    of_other_secret: int
    hazard: Hazard | None


class NotReached(Exception):
    """The store cannot be used now; the text is what it or the system says."""


async def surveyed(home: Home, records: Records) -> Survey:
    """What lies in this home, of `home_for`; it is closed afterwards. Raises NotReached."""
    found = Counter[str]()
    try:
        await home.open()
        async for key, sealed, reader in _everything(home):
            found[records.judged(sealed, key, reader)] += 1
        hazard = await home.hazard()
    except home.failures as error:
        raise NotReached(str(error) or type(error).__name__) from error
    finally:
        await home.close()
    return Survey(found["ours"], found["version"], found["secret"], hazard)


async def _everything(home: Home) -> AsyncIterator[tuple[str, str, Callable[[bytes], object]]]:
    """Records with the key that each is sealed for, and what reads them."""
    for kind, reader in _READERS.items():
        number = 0
        async for key, sealed in home.every(kind):
            yield key, sealed, reader
            number += 1
            if number == _MOST:
                break
    _, ends, _ = await home.news()
    for sealed in ends:
        yield "ended", sealed, partial(read, Revocation)
