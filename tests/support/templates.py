"""Templates that are compiled once for a whole run of tests: compiling them was half of what a stage costs."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import CodeType

import pytest
from jinja2 import BytecodeCache, Environment
from jinja2.bccache import Bucket


class Compiled(BytecodeCache):
    """What Jinja made of a template, by the template's name, file and text."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._kept.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        assert bucket.code is not None
        self._kept[bucket.key, bucket.checksum] = bucket.code


@contextmanager
def compiled_once() -> Iterator[None]:
    """All pages that are made meanwhile, and no others, share what was compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("oauth_proxy.pages.render.Environment", partial(Environment, bytecode_cache=Compiled()))
        yield
