"""What the sections of the file are made of: fields that are written as text, and paths relative to the file.

In this package `parse_…` turns what is written into a value, and `require_…` checks a value. Both raise Refused.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from oauth_proxy.settings.content import is_pipe
from oauth_proxy.settings.problems import Refused, kind, reason

T = TypeVar("T")

VARIABLE = r"\$\{[A-Za-z_][A-Za-z0-9_]*\}"
"""The pattern of a variable in a text; an editor cannot know the variable's value."""


class Section(BaseModel):
    """A mapping of the file: frozen, without unknown keys. The text under a field is what editors show.

    A start builds one validator, that of the whole file: defaults that are sections are made by `model_construct`,
    which validates nothing, and the texts are read for editors only, by `documents.schema`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


@dataclass(frozen=True, eq=False)
class FromText(Generic[T]):
    """The annotation of a type that the file has as text. `write` is the inverse of `parse`."""

    parse: Callable[[str], T]
    write: Callable[[T], object] = str
    schema: Mapping[str, Any] | None = None

    def __get_pydantic_core_schema__(self, source: type[T], handler: GetCoreSchemaHandler) -> CoreSchema:
        """How pydantic validates and serialises the value."""
        return core_schema.no_info_plain_validator_function(
            self._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(self.write, when_used="json"),
        )

    def __get_pydantic_json_schema__(self, *_: object) -> dict[str, Any]:
        """The JSON Schema of the text."""
        described: dict[str, Any] = {"type": "string", **(self.schema or {})}
        if "pattern" in described:
            described["pattern"] += f"|{VARIABLE}"
        return described

    def _validate(self, value: object) -> T:
        if not isinstance(value, str):
            raise Refused(f"one value is wanted here, not {kind(value)}")
        return self.parse(value)


@dataclass(frozen=True, slots=True)
class Reading:
    """pydantic's validation context: the file's folder, the public URL if it is valid, the names of the groups.

    Also the environment, for what is not in the file.
    """

    folder: Path
    public_url: str | None = None
    groups: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    named: list[Path] = field(default_factory=list, repr=False)
    """The files and folders that are named, which grows."""

    def at(self, path: Path) -> Path:
        """The absolute path of a file or folder on which the settings depend."""
        self.named.append(self.folder / path)
        return self.folder / path


def reading(info: ValidationInfo) -> Reading:
    """The context of this validation."""
    context = info.context
    if not isinstance(context, Reading):
        raise TypeError("settings are read with a Reading as their context")
    return context


def split_entries(value: object) -> object:
    """A list, also if it is written as one text with an entry on each line, as in a file of rotated secrets."""
    if not isinstance(value, str):
        return value
    return [entry for line in value.splitlines() if (entry := line.strip())]


def _require_file(path: Path, info: ValidationInfo) -> Path:
    absolute = reading(info).at(path)
    try:
        if not is_pipe(absolute):
            with absolute.open("rb"):
                return absolute
    except OSError as error:
        raise Refused(f"the file cannot be read: {reason(error)}") from None
    raise Refused("this is a pipe, which gives its content once, and a file is wanted")


def _require_folder(path: Path, info: ValidationInfo) -> Path:
    absolute = reading(info).at(path)
    try:
        next(absolute.iterdir(), None)
    except OSError as error:
        raise Refused(f"the folder cannot be read: {reason(error)}") from None
    return absolute


File = Annotated[Path, FromText(Path, schema={"title": "file"}), AfterValidator(_require_file)]
"""The absolute path of a file that can be read."""
Folder = Annotated[Path, FromText(Path, schema={"title": "folder"}), AfterValidator(_require_folder)]
"""The absolute path of a folder that can be read."""
