"""Which names of header lines are read as a tool sees them, and so are not remembered from the time before."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from oauth_proxy import headers


@contextmanager
def read_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """The names that were read while the context lasts."""
    names: list[bytes] = []
    normal = headers.normal

    def noting(name: bytes) -> bytes:
        names.append(name)
        return normal(name)

    with monkeypatch.context() as patch:
        patch.setattr(headers, "normal", noting)
        yield names
