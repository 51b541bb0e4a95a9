"""`make reference`: the page docs/reference.md, made anew from the JSON Schema of the settings.

What a key means stands under its field in oauth_proxy/settings, and nowhere else; here are examples of values,
which a test loads, and where to read on.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from oauth_proxy.settings import schema
from tests.support.places import ROOT

PAGE = ROOT / "docs" / "reference.md"
EXAMPLES = {
    "public_url": "https://review.example.com",
    "listen": "unix:/run/oauth-proxy/proxy.sock",
    "workers": "auto",
    "tls.cert": "tls.crt",
    "tls.key": "tls.key",
    "frameio.client_id": "${FRAMEIO_CLIENT_ID}",
    "frameio.client_secret": "${FRAMEIO_CLIENT_SECRET}",
    "frameio.client_secret_file": "client.secret",
    "frameio.scopes": "[openid, email, profile, offline_access]",
    "frameio.authorize_url": "https://frameio.staging.example.com/authorize",
    "frameio.token_url": "https://frameio.staging.example.com/token",
    "frameio.api_url": "https://frameio.staging.example.com",
    "frameio.revoke_url": "https://frameio.staging.example.com/revoke",
    "frameio.logout_url": "https://frameio.staging.example.com/logout",
    "frameio.ca_file": "network-ca.pem",
    "session.secret": "${OAUTH_PROXY_SECRET}",
    "session.secret_file": "session.secret",
    "session.lifetime": "12h",
    "session.idle": "1h30m",
    "session.cookie.name": "review",
    "session.cookie.domain": "example.com",
    "session.cookie.path": "/",
    "session.store": "sqlite:sessions.db",
    "upstreams.*.url": "unix:/run/tool.sock:/base",
    "upstreams.*.timeout": "5m",
    "upstreams.*.allow": '[{email: "*@render.example.com"}]',
    "upstreams.*.deny": "[{email: jo@studio.example.com}]",
    "upstreams.*.ca_file": "tool-ca.pem",
    "upstreams.*.client_cert.cert": "us.crt",
    "upstreams.*.client_cert.key": "us.key",
    "access.groups": '{editors: [{email: "*@studio.example.com"}]}',
    "access.allow": '[{email: "*@studio.example.com"}]',
    "access.deny": "[{email: jo@studio.example.com}]",
    "access.public": '["GET /healthz", "/assets/*"]',
    "access.recheck": "15m",
    "webhooks.*.secret": "${FRAMEIO_WEBHOOK_SECRET}",
    "webhooks.*.secret_file": "webhook.secret",
    "admin.listen": "0.0.0.0:4181",
    "tool_api.listen": "127.0.0.1:4182",
    "headers": '{X-Remote-User: "{email}"}',
    "limits.connections": "4096",
    "limits.body_rate": "1KiB",
    "trusted_proxies": "[10.0.0.0/8]",
    "auth_request_from": "[127.0.0.1]",
    "log.audit": "./audit.log",
    "pages.name": "Review",
    "pages.contact": "help@studio.example.com",
    "pages.logo": "logo.png",
    "pages.accent": '"#0b6e4f"',
    "pages.frame_ancestors": "[https://portal.example.com]",
    "pages.footer": "Nobody works here at night.",
    "pages.templates": "templates",
    "drain": "10m",
    "drain_delay": "5s",
}
"""A value of each key that takes more than a few words."""

_MORE = {
    "access": {
        "who may enter": "configuration.md#who-may-enter",
        "what needs no sign-in": "configuration.md#what-needs-no-sign-in",
    },
    "headers": {"placeholders": "configuration.md#other-headers-for-the-tool"},
    "session.store": {"what is remembered": "configuration.md#what-is-remembered"},
    "session.secret": {"to change it": "operating.md#secrets"},
    "upstreams.*.allow": {"who gets to which tool": "configuration.md#who-gets-to-which-tool"},
    "listen": {"systemd": "operating.md#systemd"},
    "workers": {"how many": "capacity.md"},
    "tls": {"certificates": "operating.md#certificates"},
    "frameio.ca_file": {"the way out": "operating.md#the-way-out"},
    "auth_request_from": {"/oauth2/auth": "behind-a-proxy.md#oauth2auth"},
    "tool_api": {"who needs it, and how": "tool-api.md"},
    "limits.connections": {"limits": "operating.md#limits"},
    "log.level": {"logs": "operating.md#logs"},
    "log.audit": {"audit": "operating.md#audit"},
    "reload": {"change something": "operating.md#change-something"},
    "pages.templates": {"ours": "../oauth_proxy/pages/templates", "languages": "pages.md"},
}
"""Where to read on."""
_AS_IT_IS_WRITTEN = re.compile(r"(?:[\w$/.:@\"*…-]|\{[^{}]*\})*(?:[*_]|\{[^{}]*\})(?:[\w$/.:@\"*…-]|\{[^{}]*\})*")
"""What stands in a sentence as it would stand in the file: names with `_`, patterns with `*`, mappings."""

_HEAD = """# Every key of the configuration

`make reference` writes this page from the code that reads the file, and a test compares the two; editors show
the same sentences by [config/schema.json](../config/schema.json). How the file is written, and what the keys do
together, is in [configuration.md](configuration.md).

A duration has a unit (`250ms`, `90s`, `15m`, `8h`, `7d`, `1h30m`) and is longer than nothing and at most ten
years. A size has one, too (`512B`, `64KiB`, `10MiB`; `kB` and `MB` are of 1000). A file or folder is a path,
which begins at the folder of the configuration unless it is absolute. `*` in a key stands for any path that you
write there. Every value may be `${NAME}`, an environment variable. A key without a default is off, or its
sentence says what is done.
"""


@dataclass(frozen=True)
class Key:
    """A key that takes a value: its whole name, the schema of the value, and whether it must be there.

    `other` is the key that may stand in its place.
    """

    name: str
    described: dict[str, Any]
    required: bool
    other: str | None = None


def keys() -> Iterator[Key]:
    """Every key of the file that holds no other keys, in the order of the models."""
    document = schema()
    yield from _below(document, document, "")


def sections() -> dict[str, str]:
    """Every section that has a sentence of its own."""
    document = schema()
    top = {name: _resolved(document, value) for name, value in document["properties"].items()}
    return {name: value["description"] for name, value in top.items() if "description" in value}


def page() -> str:
    """The page as it should be."""
    grouped: dict[str, list[Key]] = {}
    for key in keys():
        grouped.setdefault(key.name.partition(".")[0] if "." in key.name else "", []).append(key)
    told = sections()
    text = [_HEAD]
    for section, rows in grouped.items():
        heading = f"`{section}`" if section else "Of the whole file"
        sentence = f"{_words(told[section])}{_more(section)}\n\n" if section else ""
        lines = "".join(_row(key) for key in rows)
        text.append(f"\n## {heading}\n\n{sentence}| Key | Takes | Default | |\n|---|---|---|---|\n{lines}")
    return "".join(text)


def _row(key: Key) -> str:
    described = key.described
    sentences = [_words(described["description"]) + _more(key.name)]
    if bounds := _bounds(described):
        sentences.append(bounds)
    if key.name in EXAMPLES and EXAMPLES[key.name] != described.get("default"):
        sentences.append(f"Example: `{EXAMPLES[key.name]}`")
    return f"| `{key.name}` | {_takes(described)} | {_default(key)} | {'<br>'.join(sentences)} |\n"


def _takes(described: dict[str, Any]) -> str:
    """What kind of value it is, in a few words."""
    options = [described, *described.get("anyOf", [])]
    if words := [f"`{word}`" for each in options for word in each.get("enum", []) if isinstance(word, str)]:
        return " or ".join(words)
    if "title" in described:
        return str(described["title"])
    match [each.get("type") for each in options]:
        case ["array", *_]:
            what = described["items"].get("title", "text")
            return "list of rules" if "$ref" in described["items"] else {"text": "list"}.get(what, f"list: {what}")
        case ["object", *_]:
            return "mapping"
        case [None, "string", "array"]:
            return "text, or a list"
    return "text"


def _default(key: Key) -> str:
    if key.other:
        return f"this or `{key.other}`"
    if key.required:
        return "required"
    default = key.described.get("default")
    if default is None:
        return ""
    if isinstance(default, dict):
        return "<br>".join(f"`{name}: {value}`" for name, value in default.items())
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _bounds(described: dict[str, Any]) -> str:
    options = [described, *described.get("anyOf", [])]
    if "minimum" in described:
        return f"From {described['minimum']} to {described['maximum']}."
    return next((f"At most {each['maxItems']} of them." for each in options if "maxItems" in each), "")


def _more(name: str) -> str:
    """Links to where it is told at length, in the form that stands after a sentence."""
    links = ", ".join(f"[{label}]({address})" for label, address in _MORE.get(name, {}).items())
    return f" More: {links}." if links else ""


def _words(text: str) -> str:
    """A sentence of the models as Markdown."""
    parts = re.split(r"(`[^`]+`)", " ".join(text.split()))
    return "".join(part if part.startswith("`") else _AS_IT_IS_WRITTEN.sub(_code, part) for part in parts)


def _code(found: re.Match[str]) -> str:
    code = found[0].rstrip(".:")
    return f"`{code}`{found[0][len(code) :]}"


def _resolved(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """The node with what it refers to; the sentence at the node itself comes first."""
    if "$ref" in node:
        return {**document["$defs"][node["$ref"].rpartition("/")[2]], **node}
    return node


def _below(document: dict[str, Any], node: dict[str, Any], above: str) -> Iterator[Key]:
    required = set(node.get("required", []))
    pair = [name for each in node.get("anyOf", []) for name in each.get("required", [])]
    others = dict(zip(pair, reversed(pair), strict=True))  # a secret, or the file that holds it
    for name, value in node["properties"].items():
        whole = f"{above}{name}"
        inner = _resolved(document, value)
        every = inner.get("additionalProperties")
        if isinstance(every, dict) and "$ref" in every:
            yield from _below(document, _mapping(document, every), f"{whole}.*.")
        elif mapping := _mapping(document, inner):
            yield from _below(document, mapping, f"{whole}.")
        else:
            other = f"{above}{others[name]}" if name in others else None
            yield Key(whole, inner, name in required, other)


def _mapping(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """The form of a value that is a mapping with keys of its own, or nothing."""
    options = [_resolved(document, each) for each in (node, *node.get("anyOf", []))]
    every = [_resolved(document, inner) for each in options for inner in (each, *each.get("anyOf", []))]
    return next((each for each in every if "properties" in each), {})


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
