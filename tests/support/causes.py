"""Every cause that the code can write into a log line, read from its syntax trees."""

import ast
from collections.abc import Iterator

from oauth_proxy import endings, errors, visitors
from tests.support.places import ROOT

_ELSEWHERE = {"demo", "explain", "migration", "online", "process", "settings"}
"""Rooms that answer no visitor's request."""
_RAISED = {*errors.__all__, "CutShort", "Refusal"} - {"LoginLoop"}


def causes() -> set[str]:
    """Each literal cause; what differs in it is `…`."""
    found = {endings.GONE, endings.STOPPING.reason, endings.SESSION_OVER.reason}
    found |= {f"no session: {kind}" for kind in visitors.STRANGERS.values()}
    for path in sorted((ROOT / "oauth_proxy").rglob("*.py")):
        if not _ELSEWHERE & set(path.relative_to(ROOT).parts):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                found |= {text for value in _values(node) for text in _texts(value)}
    return found - {""}


def _values(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions of a node that become causes."""
    match node:
        case ast.Call(func=ast.Name(name) | ast.Attribute(attr=name), args=[first, *_]) if name in _RAISED:
            yield first
        case ast.Call(func=ast.Attribute(ast.Call(func=ast.Name("super")), "__init__"), args=[first]):
            yield first
        case ast.Assign(targets=[ast.Name("cause") | ast.Attribute(attr="cause")], value=value):
            yield value
        case ast.Call(keywords=keywords):
            yield from (each.value for each in keywords if each.arg == "cause")


def _texts(value: ast.expr) -> Iterator[str]:
    match value:
        case ast.Constant(str(text)):
            yield text
        case ast.JoinedStr(parts):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)
        case ast.IfExp(body=body, orelse=orelse):
            yield from (*_texts(body), *_texts(orelse))
