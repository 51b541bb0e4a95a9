"""How one value stands in the file as text, for pydantic: read it, write it again, describe it to an editor."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from oauth_proxy.settings.problems import Refused, kind

T = TypeVar("T")

VARIABLE = r"\$\{[A-Za-z_][A-Za-z0-9_]*\}"
"""How a variable looks in a text; an editor cannot know what it holds."""


@dataclass(frozen=True, eq=False)
class Written(Generic[T]):
    """The annotation of a type read from text: `read` raises Refused, `write` is its inverse for JSON."""

    read: Callable[[str], T]
    write: Callable[[T], object] = str
    schema: Mapping[str, Any] | None = None

    def __get_pydantic_core_schema__(self, source: type[T], handler: GetCoreSchemaHandler) -> CoreSchema:
        """What pydantic validates and serialises with."""
        return core_schema.no_info_plain_validator_function(
            self._value,
            serialization=core_schema.plain_serializer_function_ser_schema(self.write, when_used="json"),
        )

    def __get_pydantic_json_schema__(self, *_: object) -> dict[str, Any]:
        """What an editor is told."""
        described: dict[str, Any] = {"type": "string", **(self.schema or {})}
        if "pattern" in described:
            described["pattern"] += f"|{VARIABLE}"
        return described

    def _value(self, value: object) -> T:
        if not isinstance(value, str):
            raise Refused(f"one value is wanted here, not {kind(value)}")
        return self.read(value)
