"""Maps that stay small: when there is too much in one, what was kept longest ago is dropped.

The law: the bound holds after every `keep`, and what was kept last is there, unless it alone exceeds the bound.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, ValuesView
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """At most `most` items, iterated from the one kept longest ago. `get` is a dict's own, and as fast."""

    __slots__ = ("_items", "get", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self._items: OrderedDict[K, V] = (
            OrderedDict()
        )  # a dict takes long to find its oldest item, once many are gone
        self.get: Callable[[K], V | None] = self._items.get

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[K]:
        return iter(self._items)

    def __contains__(self, key: K) -> bool:
        return key in self._items

    def values(self) -> ValuesView[V]:
        """The values, in the order of the keys."""
        return self._items.values()

    def keep(self, key: K, value: V) -> None:
        """Have this as the newest, in the place of whatever had the key."""
        self._items[key] = value
        self._items.move_to_end(key)
        while len(self._items) > self.most:
            self._items.popitem(last=False)

    def drop(self, key: K) -> V | None:
        """Forget it; what it was."""
        return self._items.pop(key, None)


class Weighed(Bounded[K, V]):
    """At most `most` bytes of items; `weigh` tells how many one takes. Keep it again when it has grown."""

    __slots__ = ("_weigh", "_weights", "weight")

    ITEM = 200
    """Bytes that the map itself takes for an item, roughly."""

    def __init__(self, most: int, weigh: Callable[[K, V], int]) -> None:
        super().__init__(most)
        self._weigh = weigh
        self._weights: dict[K, int] = {}
        self.weight = 0
        """Bytes of all items."""

    def keep(self, key: K, value: V) -> None:
        """Have this as the newest, in the place of whatever had the key."""
        weight = self._weigh(key, value) + self.ITEM
        self.weight += weight - self._weights.get(key, 0)
        self._weights[key] = weight
        self._items[key] = value
        self._items.move_to_end(key)
        while self.weight > self.most:
            self.drop(next(iter(self._items)))

    def drop(self, key: K) -> V | None:
        """Forget it; what it was."""
        self.weight -= self._weights.pop(key, 0)
        return self._items.pop(key, None)
