"""Pydantic's findings as the sentences of a good compiler: where, what, and what was meant.

The law: what came out of a variable or a file is never shown, not even as a suggestion.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from oauth_proxy.settings.model import Settings
from oauth_proxy.settings.refusal import Refused, kind, nearest, one_of, quoted
from oauth_proxy.settings.source import Problem, Source, Where, dotted, from_file
from oauth_proxy.settings.syntax import Place

_KEY = "[key]"
"""How pydantic says that a mapping's key and not its value is meant."""
_SHAPES = {
    "model_type": "keys with values",
    "dict_type": "keys with values",
    "mapping_type": "keys with values",
    "tuple_type": "a list",
}
_LENGTHS = {"too_short": "at least one is needed here", "too_long": "these are too many"}
_LONGEST_SUGGESTION = 100
_REMOVED = {
    "session.revocations": (
        "write store: sqlite:revocations.db (or another path), which also remembers refreshed sessions; "
        "a Redis store remembers both by itself, and the old file is no longer read"
    ),
}
"""Keys that earlier versions had, and what to write instead."""


def found(source: Source, error: ValidationError) -> list[Problem]:
    """A problem for each finding, except where the source has one already."""
    details = [
        detail
        for detail in error.errors(include_url=False)
        if not _is_known(source, detail["loc"]) and not _follows(detail)
    ]
    misspelt = {
        (*detail["loc"][:-1], _nearest_key(detail["loc"]))
        for detail in details
        if _is_unknown_key(detail) and dotted(detail["loc"]) not in _REMOVED
    }
    return [_problem(source, detail) for detail in details if detail["loc"] not in misspelt]


def in_order(filename: str, problems: Iterable[Problem]) -> list[str]:
    """The problems as lines of `file:line:column: sentence (did you mean …?)`, from the top of the file down."""
    return [
        f"{filename}:{each.place[0]}:{each.place[1]}: {each.sentence}"
        + (f" (did you mean {each.meant}?)" if each.meant else "")
        for each in sorted(problems, key=lambda each: (each.place, each.sentence))
    ]


def _problem(source: Source, detail: ErrorDetails) -> Problem:
    where = detail["loc"]
    if instead := _REMOVED.get(dotted(where)):
        return Problem(source.keys[where], f"{dotted(where)} is gone: {instead}")
    if _is_unknown_key(detail):
        return Problem(source.keys[where], f"unknown key {quoted(str(where[-1]))}", _meant_key(where))
    if detail["type"] == "missing":
        parent = where[:-1]
        return Problem(source.keys.get(parent, source.values[parent]), f"{quoted(dotted(where))} is missing")
    refused = _refusal(detail)
    fit = refused.meant and refused.meant.isprintable() and len(refused.meant) <= _LONGEST_SUGGESTION
    meant = refused.meant if fit and not _is_foreign(source, where) else None
    return Problem(_place(source, where), refused.sentence, meant)


def _refusal(detail: ErrorDetails) -> Refused:
    of, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if of == "value_error" and isinstance(context["error"], Refused):
        return context["error"]
    if of in _SHAPES:
        meant = f"[{value}]" if of == "tuple_type" and isinstance(value, str) else None
        return Refused(
            f"{_SHAPES[of]} {'is' if of == 'tuple_type' else 'are'} wanted here, not {kind(value)}", meant
        )
    if of in _LENGTHS:
        return Refused(_LENGTHS[of])
    if of == "literal_error" and isinstance(value, str):
        words = re.findall(r"'([^']*)'", context["expected"])
        return Refused(f"this must be {one_of(words)}", nearest(value, words))
    return Refused(f"one value is wanted here, not {kind(value)}")


def _is_unknown_key(detail: ErrorDetails) -> bool:
    return detail["type"] == "extra_forbidden"


def _follows(detail: ErrorDetails) -> bool:
    """Whether this only says that something else, which is told too, went wrong."""
    of = detail["type"]
    return of == "default_factory_not_called" or (of == "too_short" and len(detail["input"]) > 0)


def _is_known(source: Source, where: Where) -> bool:
    return any(where[:length] in source.broken for length in range(1, len(where) + 1))


def _is_foreign(source: Source, where: Where) -> bool:
    """Whether the value, what it is part of or a part of it came out of a variable or a file."""
    return any(where[: len(each)] == each[: len(where)] for each in source.foreign)


def _place(source: Source, where: Where) -> Place:
    if where[-1] == _KEY:
        return source.keys[where[:-1]]
    while where not in source.values:
        where = where[:-1]
    return source.values[where]


def _meant_key(where: Where) -> str | None:
    """A key of this mapping that looks like this one, or the one place elsewhere where this very key belongs."""
    elsewhere = [path for path in _paths(Settings) if path[-1] == where[-1]]
    key = dotted(elsewhere[0]) if len(elsewhere) == 1 else _nearest_key(where)
    return f"'{key}'" if key else None


def _nearest_key(where: Where) -> str | None:
    parent = where[:-1]
    name = from_file(parent)
    by_file = [f"{name}_file"] if name else []
    return nearest(str(where[-1]), [*_model_at(parent).model_fields, *by_file])


def _model_at(where: Where) -> type[BaseModel]:
    model: type[BaseModel] = Settings
    steps = iter(where)
    for step in steps:
        annotation = model.model_fields[str(step)].annotation
        if not isinstance(annotation, type):
            next(steps, None)  # a mapping of models: the next step is its key, such as a path prefix
        model = next(_models_in(annotation), model)
    return model


def _paths(model: type[BaseModel], parent: Where = ()) -> Iterator[Where]:
    for name, field in model.model_fields.items():
        yield (*parent, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _paths(field.annotation, (*parent, name))


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
