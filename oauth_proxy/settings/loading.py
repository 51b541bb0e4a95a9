"""A file becomes Settings, or a list of all its problems, each with its position and perhaps a suggestion.

No message or suggestion shows what came from a variable or from a file of its own.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.settings.addresses import parse_public_url
from oauth_proxy.settings.content import text_of
from oauth_proxy.settings.fields import Reading
from oauth_proxy.settings.lines import Lines
from oauth_proxy.settings.listeners import Listen, parse_listener
from oauth_proxy.settings.model import Admin, Settings
from oauth_proxy.settings.problems import (
    KeyPath,
    Position,
    Problem,
    Refused,
    dotted,
    kind,
    nearest,
    one_of,
    quoted,
)
from oauth_proxy.settings.shapes import keys_wanted, list_wanted
from oauth_proxy.settings.source import Source, Tree, Unreadable, key_from_file, read, read_alone

_LONGEST_SUGGESTION = 100
_TYPOGRAPHIC = (
    "\N{LEFT DOUBLE QUOTATION MARK}",
    "\N{DOUBLE LOW-9 QUOTATION MARK}",
    "\N{LEFT SINGLE QUOTATION MARK}",
)
_KEY = "[key]"
"""The last step of a pydantic location that means a mapping's key and not its value."""
_MAPPING_TYPES = ("model_type", "dict_type", "mapping_type")
_LENGTHS = {"too_short": "at least one is needed here", "too_long": "these are too many"}
_REMOVED = {
    "session.revocations": (
        "write store: sqlite:revocations.db (or another path), which also remembers refreshed sessions; "
        "a Redis store remembers both by itself, and the old file is no longer read"
    ),
}
"""Keys of earlier versions, and what to write instead."""


class Loaded(NamedTuple):
    """Settings, and the files that they depend on: the file itself, secrets, certificates, templates."""

    settings: Settings
    files: frozenset[Path]


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """The settings in this YAML file, with variables from `environ`.

    Raises ConfigurationError with a line `file:line:column: message (did you mean …?)` for each problem.
    """
    return load_with_files(path, environ).settings


def load_with_files(path: Path, environ: Mapping[str, str]) -> Loaded:
    """As `load`; also says which files have been read or are named in the file."""
    settings, source = _loaded(path, environ)
    return Loaded(settings, frozenset((path.absolute(), *source.files)))


def load_with_lines(path: Path, environ: Mapping[str, str]) -> tuple[Settings, Lines]:
    """As `load`; also says on which line each setting stands."""
    settings, source = _loaded(path, environ)
    return settings, Lines.of(str(path), source)


def admin_listener(path: Path, environ: Mapping[str, str]) -> Listen:
    """Where the proxy of this YAML file answers /healthz, whatever else may be wrong with the file by now.

    Reads no other file. Raises ConfigurationError if `admin.listen` itself cannot be read.
    """
    try:
        source = read_alone("admin", text_of(path), environ)
    except Unreadable as error:
        raise ConfigurationError([f"{path}:{error.problem}"]) from None
    admin, key_path = source.tree.get("admin"), ("admin", "listen")
    if not isinstance(admin, dict) or "listen" not in admin:
        return Admin().listen
    problems = [each for each in source.problems if each.position == source.values[key_path]]
    try:
        if not problems:
            return parse_listener(admin["listen"])
    except Refused as refused:
        problems.append(Problem(source.values[key_path], refused.message))
    raise ConfigurationError([f"{path}:{problem}" for problem in problems])


def _loaded(path: Path, environ: Mapping[str, str]) -> tuple[Settings, Source]:
    return _parsed(text_of(path), filename=str(path), environ=environ, folder=path.parent)


def parse(text: str, *, filename: str, environ: Mapping[str, str], folder: Path) -> Settings:
    """The settings in this YAML text; relative paths in it begin at `folder`.

    Raises ConfigurationError as `load` does, with `filename` at the beginning of each line.
    """
    return _parsed(text, filename=filename, environ=environ, folder=folder)[0]


def _parsed(text: str, *, filename: str, environ: Mapping[str, str], folder: Path) -> tuple[Settings, Source]:
    """The settings in this YAML text, and what they were read from."""
    try:
        source = read(text, environ, folder.absolute())
    except Unreadable as error:
        raise ConfigurationError([f"{filename}:{error.problem}"]) from None
    problems = source.problems
    tree = source.tree
    if not any(nearest(key, Settings.model_fields, similarity=0.8) for key in tree):
        # Whatever it is, it may be private: its keys are not repeated.
        raise ConfigurationError([f"{filename}:1:1: no key of this file is one of a configuration's"])
    url, groups = _valid_public_url(tree.get("public_url")), _groups(tree.get("access"))
    reading = Reading(folder.absolute(), url, groups, environ, source.files)
    try:
        settings = Settings.model_validate(source.tree, context=reading)
    except ValidationError as error:
        problems += _problems(source, error)
    else:
        if not problems:
            return settings, source
    in_order = sorted(problems, key=lambda problem: (problem.position, problem.message))
    raise ConfigurationError([f"{filename}:{problem}" for problem in in_order], source.files)


def _valid_public_url(value: Tree | None) -> str | None:
    """The public URL, which the cookie's attributes depend on; None if it is missing or refused."""
    try:
        return parse_public_url(value) if isinstance(value, str) else None
    except Refused:
        return None


def _groups(access: Tree | None) -> tuple[str, ...]:
    """The names that rules may use: they are known before any rule is read, wherever it stands."""
    groups = access.get("groups") if isinstance(access, dict) else None
    return tuple(groups) if isinstance(groups, dict) else ()


def _problems(source: Source, error: ValidationError) -> list[Problem]:
    """A problem for each of pydantic's errors, except those that are reported already."""
    details = [
        detail
        for each in error.errors(include_url=False)
        for detail in [ErrorDetails(**{**each, "loc": _as_written(source, each["loc"])})]
        if not _is_reported(source, detail["loc"]) and not _is_consequence(detail)
    ]
    misspelt = {
        (*detail["loc"][:-1], _nearest_key(detail["loc"]))
        for detail in details
        if _is_unknown_key(detail) and dotted(detail["loc"]) not in _REMOVED
    }
    told = [_problem(source, detail) for detail in details if detail["loc"] not in misspelt]
    return list(dict.fromkeys(told))  # a text with several entries, each wrong in the same way, is one problem


def _problem(source: Source, detail: ErrorDetails) -> Problem:
    key_path = detail["loc"]
    if instead := _REMOVED.get(dotted(key_path)):
        return Problem(source.keys[key_path], f"{dotted(key_path)} is gone: {instead}")
    if _is_unknown_key(detail):
        message = f"unknown key {quoted(str(key_path[-1]))}"
        return Problem(source.keys[key_path], message, _suggested_key(key_path))
    if detail["type"] == "missing":
        parent = key_path[:-1]
        position = source.keys.get(parent, source.values[parent])
        return Problem(position, f"{quoted(dotted(key_path))} is missing")
    refused = _refused(detail)
    if isinstance(detail["input"], str) and detail["input"].startswith(_TYPOGRAPHIC):
        return Problem(_position(source, key_path), "quotation marks are straight in YAML: \" or '")
    suggestion = refused.suggestion
    if suggestion and (len(suggestion) > _LONGEST_SUGGESTION or not suggestion.isprintable()):
        suggestion = None
    return Problem(
        _position(source, key_path), refused.message, None if _is_external(source, key_path) else suggestion
    )


def _refused(detail: ErrorDetails) -> Refused:
    error_type, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if error_type == "value_error" and isinstance(context["error"], Refused):
        return context["error"]
    if error_type == "tuple_type":
        return list_wanted(detail["loc"], value)
    if error_type in _MAPPING_TYPES:
        return keys_wanted(detail["loc"], value)
    if error_type in _LENGTHS:
        return Refused(_LENGTHS[error_type])
    if error_type == "literal_error" and isinstance(value, str):
        words = re.findall(r"'([^']*)'", context["expected"])
        return Refused(f"this must be {one_of(words)}", nearest(value, words))
    return Refused(f"one value is wanted here, not {kind(value)}")


def _as_written(source: Source, key_path: KeyPath) -> KeyPath:
    """The key path as the file has it: where a list is wanted, one entry may stand without one."""
    written: KeyPath = ()
    for step in key_path:
        if step != 0 or (*written, step) in source.values:
            written = (*written, step)
    return written


def _is_unknown_key(detail: ErrorDetails) -> bool:
    return detail["type"] == "extra_forbidden"


def _is_consequence(detail: ErrorDetails) -> bool:
    """Whether this error only follows from another one, which is reported too."""
    error_type = detail["type"]
    return error_type == "default_factory_not_called" or (error_type == "too_short" and len(detail["input"]) > 0)


def _is_reported(source: Source, key_path: KeyPath) -> bool:
    """Whether the value, or what it is a part of, has a problem already."""
    return any(key_path[:length] in source.invalid for length in range(1, len(key_path) + 1))


def _is_external(source: Source, key_path: KeyPath) -> bool:
    """Whether the value, a part of it, or what it is a part of came from a variable or a file."""
    return any(key_path[: len(each)] == each[: len(key_path)] for each in source.external)


def _position(source: Source, key_path: KeyPath) -> Position:
    if key_path[-1] == _KEY:
        return source.keys[key_path[:-1]]
    while key_path not in source.values:
        key_path = key_path[:-1]
    return source.values[key_path]


def _suggested_key(key_path: KeyPath) -> str | None:
    """The one other place where this very key belongs, or a key of this mapping with a similar name."""
    elsewhere = [path for path in _key_paths(Settings) if path[-1] == key_path[-1]]
    key = dotted(elsewhere[0]) if len(elsewhere) == 1 else _nearest_key(key_path)
    return f"'{key}'" if key else None


def _nearest_key(key_path: KeyPath) -> str | None:
    parent = key_path[:-1]
    name = key_from_file(parent)
    by_file = [f"{name}_file"] if name else []
    return nearest(str(key_path[-1]), [*_model_at(parent).model_fields, *by_file])


def _model_at(key_path: KeyPath) -> type[BaseModel]:
    model: type[BaseModel] = Settings
    steps = iter(key_path)
    for step in steps:
        annotation = model.model_fields[str(step)].annotation
        if not isinstance(annotation, type):
            next(steps, None)  # a mapping of models: the next step is its key, such as a path prefix
        model = next(_models_in(annotation), model)
    return model


def _key_paths(model: type[BaseModel], parent: KeyPath = ()) -> Iterator[KeyPath]:
    for name, field in model.model_fields.items():
        yield (*parent, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _key_paths(field.annotation, (*parent, name))


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
