"""Every warning and error of the log that is about no request, read from the code's syntax trees."""

import ast
import re

from tests.support.places import ROOT

_LEVELS = {"warning", "error", "critical", "exception"}


def lines() -> set[str]:
    """Each literal message of the level warning and above; what differs in it is `…`.

    Messages that are nothing but a value are left out: a cause, a note of `check`, a problem of the file.
    """
    found = set()
    for path in (ROOT / "oauth_proxy").rglob("*.py"):
        if "demo" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(ast.Name("log"), level), args=[ast.Constant(str(text)), *_]) if (
                    level in _LEVELS
                ):
                    found.add(re.sub(r"%(\.\d+)?[sdfg]", "…", text))
    return found - {"…"}
