"""Return addresses that are too long for a login's state: they wait in the memory until the login is finished.

The law: what strangers can store is bounded, in number and for each of them, and an address that is lost costs its
visitor only the end of it: the state has a shorter form of the same address.
"""

from collections import Counter

from oauth_proxy.bounded import Bounded
from oauth_proxy.memory import Memory
from oauth_proxy.oauth import ATTEMPT_LIFETIME

MOST = 1024
"""Addresses that wait at a time, each at most `paths.LONGEST_RETURN` long. Each process counts its own."""
MOST_OF_ONE = 64
"""Of these for one client, so that a stranger leaves room for others. An office may be one client."""


class LongAddresses:
    """The addresses that wait in `memory`; where it cannot be reached, none does."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._waiting = Bounded[str, str](MOST)
        self._by_client = Counter[str]()

    def __len__(self) -> int:
        return len(self._waiting)

    async def keep(self, nonce: str, address: str, client: str) -> None:
        """Store the address of a login by the nonce of its state. The oldest gives way: the client's own first."""
        surplus = self._surplus(client)
        self._waiting.keep(nonce, client)
        self._by_client[client] += 1
        if surplus is not None:
            await self._memory.drop(_name(surplus))
        await self._memory.leave(_name(nonce), address.encode(), ATTEMPT_LIFETIME)

    async def find(self, nonce: str) -> str | None:
        """The address that any process stored; None if it is lost."""
        address = await self._memory.find(_name(nonce))
        return address.decode() if address else None

    def _surplus(self, client: str) -> str | None:
        """Choose whose address gives way to one of this client's, and count it no longer."""
        if self._by_client[client] >= MOST_OF_ONE:
            oldest = next(nonce for nonce in self._waiting if self._waiting.get(nonce) == client)
        elif len(self._waiting) >= MOST:
            oldest = next(iter(self._waiting))
        else:
            return None
        owner = self._waiting.drop(oldest) or ""
        self._by_client[owner] -= 1
        if not self._by_client[owner]:
            del self._by_client[owner]
        return oldest


def _name(nonce: str) -> str:
    return f"address {nonce}"
