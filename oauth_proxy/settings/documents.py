"""What the commands print about the file: a first file, the settings in effect, and the JSON Schema."""

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

import yaml
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from oauth_proxy.settings.access import RULE_SCHEMA
from oauth_proxy.settings.fields import VARIABLE, Section
from oauth_proxy.settings.model import Settings
from oauth_proxy.settings.problems import KeyPath
from oauth_proxy.settings.source import EACH, FROM_FILES

_APP = {
    "v2": (
        "The app that you made in Frame.io's developer portal; its redirect URI is {public_url}/oauth2/callback.",
        "A PKCE app has no secret: then remove the line.",
        "[offline, account.read]",
    ),
    "v4": (
        "The OAuth Web App credential of your project in Adobe's Developer Console, with the Frame.io API added;\n"
        "# its redirect URI is {public_url}/oauth2/callback.",
        "A Single Page App credential has none (and gets no refresh token).",
        "[openid, email, profile, offline_access, additional_info.roles]",
    ),
}

_TEMPLATE = """\
# yaml-language-server: $schema=schema.json
# Frame.io sign-in in front of a web tool. Lines that begin with # and a key show the default of that key.
# `oauth-proxy check` says what is wrong with a file or worth knowing about it; `oauth-proxy schema > schema.json`
# lets editors explain every key. ${NAME} is an environment variable, and $$ a dollar sign.

# What visitors type.
public_url: https://review.example.com

# Where the proxy listens: host:port, or unix:/run/oauth-proxy.sock.
#listen: 127.0.0.1:4180

# Serve https here, where nothing in front of the proxy does: tls: {cert: tls.crt, key: tls.key}, or a list, from
# which the host that visitors ask for chooses. Files that change are read again. With min_version: 1.3, TLS 1.2 is
# refused.

# @APP@
frameio:
  api: @API@
  client_id: ${FRAMEIO_CLIENT_ID}
  # Or client_secret_file: a path. @PKCE@
  client_secret: ${FRAMEIO_CLIENT_SECRET}
  #scopes: @SCOPES@
  # Where sign-out sends the browser in the end, so that it ends at the provider too: logout_url: https://…

session:
  # 32 random bytes in base64, as `oauth-proxy secret` prints them; or secret_file: a path.
  # To change it without signing anybody out, make it a list, the new one first.
  secret: @SECRET@
  # Sign in again after this long at the latest, and after this long without a request.
  #lifetime: 7d
  #idle: 24h
  #cookie: {name: oauth_proxy, same_site: lax, partitioned: false, path: /}
  # A file also remembers what a restart must not forget (sign-outs, refreshed tokens): sqlite:sessions.db, or
  # sqlite:/var/lib/oauth-proxy/sessions.db.
  # Several proxies for one public_url share a Redis: redis://:${REDIS_PASSWORD}@host:6379/0, or its sentinels or
  # cluster: redis+sentinel://host:26379,host2:26379/service/0, redis+cluster://host:7000,host2:7000. With TLS
  # they begin with rediss.
  #store: cookie

# Path prefix: URL, or {url: …, timeout: 30s, host: pass}. The longest prefix wins, and the URL takes its place.
# host: upstream sends the tool its own name instead of the one that visitors type. Unix sockets are
# unix:/run/tool.sock. With allow and deny beside the url, only some of those who may enter get to that tool.
# For https, ca_file: tool-ca.pem names who vouches for it, and client_cert: {cert: …, key: …} tells it who we are.
upstreams:
  /: http://127.0.0.1:3000

access:
  # Who may enter: [everyone] (with a Frame.io account), or rules, of which one must fit:
  #   - email: "*@studio.example.com"
  #   - account: 2f1c7d0e-5b7a-4a52-9d3c-1f6d5c1f4b20
  #   - emails_file: people.txt
  #   - group: editors
  allow:
    - email: "*@example.com"
  # Who stays out all the same.
  #deny: []
  # Lists that group: stands for, here and in upstreams: {editors: [{email: jo@example.com}]}.
  #groups: {}
  # What needs no sign-in, such as ["GET /healthz", "/assets/*"].
  #public: []
  # Let programs in with a Frame.io token of their own (Authorization: Bearer); Frame.io is asked whose it is.
  #bearer: false
  # Ask again this often who the visitor is and what they may, refreshed or not.
  #recheck: 1h

# Paths that Frame.io itself calls, for webhooks and custom actions; only what is signed with the secret gets in:
#   /hooks/frameio: {secret: …}, or secret_file: a path. While the secret changes, a list: [new, old].
#webhooks: {}

# What the tool is told about the visitor. Headers of your own take the place of these.
#headers:
#  Authorization: "Bearer {access_token}"
#  X-Forwarded-User: "{id}"
#  X-Forwarded-Email: "{email}"
#  X-Forwarded-Preferred-Username: "{name}"

# A request's body that comes with less than this a second, over a minute, is given up.
#limits: {body_rate: 240B}

# Proxies in front of this one whose X-Forwarded-For is believed, such as [10.0.0.0/8].
#trusted_proxies: []

# Front proxies that ask /oauth2/auth before they forward; they are told the visitor's token there.
#auth_request_from: []

# /metrics, /healthz, /readyz, and for operators a status page at /; never on the public listener.
#admin: {listen: 127.0.0.1:4181}

# Where a tool asks for a fresh token of a visitor, by the handle that X-OAuth-Proxy-Handle then carries
# (in headers of your own, {handle}): tool_api: {listen: unix:/run/oauth-proxy/tool.sock}, or a port of 127.0.0.1.

# What is written to standard error: format: json is for machines, level: debug says more. trace: true begins a
# trace (traceparent) where a request has none. Who signed in and out, who was refused and what operators did is
# written as JSON lines with audit: a path, stderr or syslog. With email: true, addresses of visitors are in every
# line, with email: false in none; by default they are in the audit stream only.
#log: {format: text, access: true, level: info}

# What the pages call your tool, and a folder with templates in place of ours: pages: {name: …, templates: …}
"""


def template(api: Literal["v2", "v4"], secret: str) -> str:
    """The commented file that `oauth-proxy init` writes; `secret` is in base64, or a ${VARIABLE}."""
    app, pkce, scopes = _APP[api]
    filled = {"@API@": api, "@APP@": app, "@PKCE@": pkce, "@SCOPES@": scopes, "@SECRET@": secret}
    text = _TEMPLATE
    for mark, value in filled.items():
        text = text.replace(mark, value)
    return text


def effective(settings: Settings) -> str:
    """The settings as YAML, with every default and without any secret."""
    written = settings.model_dump(mode="json", exclude_none=True)
    written["pages"].setdefault("name", settings.shown_name)
    return yaml.safe_dump(written, sort_keys=False, allow_unicode=True, width=1000)


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the file as it is written, for editors; every text may be a ${VARIABLE}."""
    document = Settings.model_json_schema(schema_generator=_AsWritten)
    models = document["$defs"]
    url = models["UpstreamSettings"]["properties"]["url"]
    models["UpstreamSettings"] = {"anyOf": [url, models["UpstreamSettings"]]}
    tls = document["properties"]["tls"]
    several = {key: tls.pop(key) for key in ("type", "items", "minItems")}
    tls["anyOf"] = [several["items"], several]
    for model in ("Session", "Webhook"):
        secret = models[model]["properties"]["secret"]
        secrets = {key: secret.pop(key) for key in ("type", "items", "minItems", "maxItems")}
        secret["anyOf"] = [secrets["items"], secrets]
    for key_path, name in FROM_FILES.items():
        _allow_file(document, key_path, name)
    document = _with_one_rule(document)
    document["$defs"]["Rule"] = RULE_SCHEMA
    return {"$schema": GenerateJsonSchema.schema_dialect, **document, "title": "oauth-proxy"}


def _with_one_rule(node: Any) -> Any:
    """The same with a reference wherever rules of access may stand: their schema is long."""
    if node == RULE_SCHEMA:
        return {"$ref": "#/$defs/Rule"}
    if isinstance(node, dict):
        return {key: _with_one_rule(value) for key, value in node.items()}
    return [_with_one_rule(each) for each in node] if isinstance(node, list) else node


def _allow_file(document: dict[str, Any], key_path: KeyPath, name: str) -> None:
    """Add `<name>_file` to the mapping at this key path, as an alternative to the key `name`."""
    node = document
    for step in key_path:
        node = node["additionalProperties"] if step == EACH else node["properties"][step]
    model = document["$defs"][node["$ref"].rpartition("/")[2]]
    description = f"A file that holds {name}. A relative path begins at the folder of the configuration."
    model["properties"][f"{name}_file"] = {"title": "file", "type": "string", "description": description}
    if name in model["required"]:
        model["required"].remove(name)
        model["anyOf"] = [{"required": [name]}, {"required": [f"{name}_file"]}]


class _AsWritten(GenerateJsonSchema):
    """pydantic's generator, with defaults as the file has them, without null, and with variables for literals."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def model_schema(self, schema: core_schema.ModelSchema) -> dict[str, Any]:
        described = super().model_schema(schema)
        for section in schema["cls"].__mro__:
            if section is Section:
                break
            for name, text in _texts(section):
                described["properties"][name]["description"] = text
        return described

    def literal_schema(self, schema: core_schema.LiteralSchema) -> dict[str, Any]:
        return {"anyOf": [{"enum": schema["expected"]}, {"type": "string", "pattern": VARIABLE}]}

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        described = self.generate_inner(schema["schema"])
        default = schema.get("default")
        if default is None or isinstance(default, BaseModel):
            return described
        write = schema["schema"].get("serialization", {}).get("function", self.encode_default)
        return {**described, "default": write(default)}


def _texts(section: type) -> Iterator[tuple[str, str]]:
    """The fields of a section with the texts that stand under them (attribute docstrings, PEP 257).

    pydantic would read them as well (use_attribute_docstrings), but at each start, and that takes a tenth of it.
    """
    match ast.parse(inspect.getsource(section)).body:
        case [ast.ClassDef(body=body)]:
            for each, below in pairwise(body):
                match each, below:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                        yield name, inspect.cleandoc(text)
