"""Bounded maps: when one is full, the item that was stored longest ago is dropped.

The law: the bound holds after every `keep`, and the item stored last is there, unless it alone exceeds the bound.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, ValuesView
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """At most `most` items, iterated from the oldest. `get` is the dict's own method, for speed."""

    __slots__ = ("_items", "get", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        # Not a plain dict: it finds its oldest item slowly after many deletions.
        self._items: OrderedDict[K, V] = OrderedDict()
        self.get: Callable[[K], V | None] = self._items.get

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[K]:
        return iter(self._items)

    def __reversed__(self) -> Iterator[K]:
        return reversed(self._items)

    def __contains__(self, key: K) -> bool:
        return key in self._items

    def values(self) -> ValuesView[V]:
        """The values, the oldest first."""
        return self._items.values()

    def keep(self, key: K, value: V) -> None:
        """Store the value as the newest item; it replaces one with the same key."""
        self._items[key] = value
        self._items.move_to_end(key)
        while len(self._items) > self.most:
            self._items.popitem(last=False)

    def drop(self, key: K) -> V | None:
        """Delete the item; returns its value, or None."""
        return self._items.pop(key, None)


class Weighed(Bounded[K, V]):
    """At most `most` bytes of items; `weigh` returns an item's bytes. Call `keep` again when an item has grown."""

    __slots__ = ("_weigh", "_weights", "weight")

    ITEM = 200
    """Approximate bytes that the map itself uses per item."""

    def __init__(self, most: int, weigh: Callable[[K, V], int]) -> None:
        super().__init__(most)
        self._weigh = weigh
        self._weights: dict[K, int] = {}
        self.weight = 0
        """Bytes of all items."""

    def keep(self, key: K, value: V) -> None:
        """Store the value as the newest item; it replaces one with the same key."""
        weight = self._weigh(key, value) + self.ITEM
        self.weight += weight - self._weights.get(key, 0)
        self._weights[key] = weight
        self._items[key] = value
        self._items.move_to_end(key)
        while self.weight > self.most:
            self.drop(next(iter(self._items)))

    def drop(self, key: K) -> V | None:
        """Delete the item; returns its value, or None."""
        self.weight -= self._weights.pop(key, 0)
        return self._items.pop(key, None)
