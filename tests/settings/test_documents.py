"""What the commands print agrees with the settings; the files in config/ are current and load."""

import json
import re
from typing import Any, Literal

import pytest
import yaml
from pydantic import BaseModel

from oauth_proxy.settings import Frameio, Session, Webhook, effective, load, schema, template
from tests.support.configuration import KEY, file, read
from tests.support.places import CONFIG

ENVIRON = {"FRAMEIO_CLIENT_ID": "an-app", "FRAMEIO_CLIENT_SECRET": "a-secret", "OAUTH_PROXY_SECRET": KEY}
DEMO = {
    "DEMO_PUBLIC_URL": "http://127.0.0.1:4180",
    "DEMO_LISTEN": "127.0.0.1:4180",
    "DEMO_API": "v2",
    "DEMO_CLIENT_ID": "demo",
    "DEMO_CLIENT_SECRET": "demo-secret",
    "DEMO_AUTHORIZE_URL": "http://127.0.0.1:5000/oauth2/auth",
    "DEMO_TOKEN_URL": "http://127.0.0.1:5000/oauth2/token",
    "DEMO_API_URL": "http://127.0.0.1:5000",
    "DEMO_REVOKE_URL": "http://127.0.0.1:5000/oauth2/revoke",
    "DEMO_SECRET": KEY,
    "DEMO_TOOL_URL": "http://127.0.0.1:3000",
    "DEMO_ADMIN_LISTEN": "127.0.0.1:4181",
}
Api = Literal["v2", "v4"]
APIS: tuple[Api, ...] = ("v2", "v4")


def test_what_is_in_effect_shows_every_default() -> None:
    assert yaml.safe_load(effective(read(file()))) == {
        "public_url": "https://review.example.com",
        "listen": "127.0.0.1:4180",
        "frameio": {
            "api": "v4",
            "client_id": "an-app",
            "scopes": ["openid", "email", "profile", "offline_access", "additional_info.roles"],
        },
        "session": {
            "secret": ["<hidden, 32 bytes>"],
            "lifetime": "7d",
            "idle": "1d",
            "cookie": {"name": "oauth_proxy", "same_site": "lax", "partitioned": False, "path": "/"},
            "store": "cookie",
        },
        "upstreams": {
            "/": {
                "url": "http://127.0.0.1:3000",
                "timeout": "30s",
                "host": "pass",
                "strip": True,
                "rewrite": False,
                "deny": [],
                "verify": True,
            }
        },
        "access": {
            "groups": {},
            "allow": ["everyone"],
            "deny": [],
            "public": [],
            "public_assets": False,
            "bearer": False,
            "recheck": "1h",
        },
        "webhooks": {},
        "headers": {
            "Authorization": "Bearer {access_token}",
            "X-Forwarded-User": "{id}",
            "X-Forwarded-Email": "{email}",
            "X-Forwarded-Preferred-Username": "{name}",
        },
        "limits": {"body_rate": "240B"},
        "trusted_proxies": [],
        "auth_request_from": [],
        "admin": {"listen": "127.0.0.1:4181"},
        "log": {"format": "text", "access": True, "level": "info", "trace": False},
        "pages": {"name": "review.example.com", "frame_ancestors": []},
        "workers": 1,
        "reload": "signal",
        "drain_delay": "0s",
    }


@pytest.mark.parametrize("api", APIS)
def test_the_example_is_what_init_writes(api: Api) -> None:
    assert (CONFIG / f"frameio-{api}.yaml").read_text("utf-8") == template(api, "${OAUTH_PROXY_SECRET}")


@pytest.mark.parametrize("api", APIS)
def test_the_file_that_init_writes_loads(api: Api) -> None:
    settings = load(CONFIG / f"frameio-{api}.yaml", ENVIRON)
    assert settings.frameio.api == api
    assert read(template(api, KEY), ENVIRON) == settings


@pytest.mark.parametrize("api", APIS)
def test_the_commented_lines_that_init_writes_are_the_defaults(api: Api) -> None:
    written = template(api, KEY)
    uncommented, count = re.subn(r"^( *)#( {2})?(?=[A-Za-z_-]+:)", r"\1\2", written, flags=re.MULTILINE)
    assert count == 22
    assert read(uncommented, ENVIRON) == read(written, ENVIRON)


def test_the_demos_file_loads_and_needs_every_variable() -> None:
    settings = load(CONFIG / "demo.yaml", DEMO)
    assert settings.upstreams["/frameio/"].host == "upstream"
    text = (CONFIG / "demo.yaml").read_text("utf-8")
    assert set(re.findall(r"\$\{(\w+)\}", text)) == set(DEMO)


def test_the_committed_schema_is_current() -> None:
    committed = (CONFIG / "schema.json").read_text("utf-8")
    assert committed == json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def test_the_schema_describes_every_key_of_the_file() -> None:
    document = schema()
    described = document["$defs"]
    tops = [document, *described.values(), described["UpstreamSettings"]["anyOf"][1]]
    for model in tops:
        for key, value in model.get("properties", {}).items():
            assert "description" in value or "description" in described[value["$ref"].rpartition("/")[2]], key


def test_the_schema_takes_defaults_as_they_are_written_and_no_nothing() -> None:
    text = json.dumps(schema())
    assert '"null"' not in text
    session = schema()["$defs"]["Session"]["properties"]
    assert (session["lifetime"]["default"], session["store"]["default"]) == ("7d", "cookie")


@pytest.mark.parametrize("name", ["frameio-v2.yaml", "frameio-v4.yaml", "demo.yaml"])
def test_the_schema_knows_every_key_of_the_examples(name: str) -> None:
    document = schema()

    def resolved(node: dict[str, Any]) -> list[dict[str, Any]]:
        if "$ref" in node:
            return resolved(document["$defs"][node["$ref"].rpartition("/")[2]])
        return [node, *(option for each in node.get("anyOf", []) for option in resolved(each))]

    def check(value: object, node: dict[str, Any]) -> None:
        options = resolved(node)
        if isinstance(value, dict):
            keys = {key: found for option in options for key, found in option.get("properties", {}).items()}
            free = [option["additionalProperties"] for option in options if option.get("additionalProperties")]
            for key, inner in value.items():
                check(inner, keys[key] if key in keys else free[0])
        elif isinstance(value, list):
            [items] = [option["items"] for option in options if "items" in option]
            for inner in value:
                check(inner, items)
        elif isinstance(value, str):
            patterns = [option["pattern"] for option in options if "pattern" in option]
            enums = [option["enum"] for option in options if "enum" in option]
            fits = any(re.search(each, value) for each in patterns) or any(value in each for each in enums)
            assert fits or not (patterns or enums), value

    check(yaml.safe_load((CONFIG / name).read_text("utf-8")), document)


def test_the_first_line_of_each_file_names_the_schema_for_editors() -> None:
    for path in (CONFIG / "demo.yaml", *CONFIG.glob("frameio-*.yaml")):
        assert path.read_text("utf-8").splitlines()[0] == "# yaml-language-server: $schema=schema.json", path


def test_every_secret_can_stand_in_a_file() -> None:
    properties = schema()["$defs"]
    assert "client_secret_file" in properties["Frameio"]["properties"]
    assert "secret_file" in properties["Session"]["properties"]
    assert "secret_file" in properties["Webhook"]["properties"]
    models: dict[str, type[BaseModel]] = {"frameio": Frameio, "session": Session, "webhooks": Webhook}
    secrets = [
        (parent, name)
        for parent, model in models.items()
        for name, field in model.model_fields.items()
        if "Secret" in str(field.annotation)
    ]
    assert secrets == [("frameio", "client_secret"), ("session", "secret"), ("webhooks", "secret")]
