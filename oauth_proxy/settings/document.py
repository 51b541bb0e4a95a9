"""The settings for people and editors: what is in effect, with secrets masked, and the JSON Schema of the file."""

from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from oauth_proxy.settings.fields import VARIABLE
from oauth_proxy.settings.model import Settings
from oauth_proxy.settings.source import EACH, FROM_FILES


def effective(settings: Settings) -> str:
    """The settings as YAML, with every default and without any secret."""
    written = settings.model_dump(mode="json", exclude_none=True)
    written["pages"].setdefault("name", settings.shown_name)
    return yaml.safe_dump(written, sort_keys=False, allow_unicode=True, width=1000)


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the file as it is written, for editors; a text may be a ${VARIABLE} everywhere."""
    document = Settings.model_json_schema(schema_generator=_AsWritten)
    models = document["$defs"]
    url = models["Upstream"]["properties"]["url"]
    models["Upstream"] = {"anyOf": [url, models["Upstream"]]}
    for of in ("Session", "Webhook"):
        secret = models[of]["properties"]["secret"]
        several = {key: secret.pop(key) for key in ("type", "items", "minItems", "maxItems")}
        secret["anyOf"] = [several["items"], several]
    for where, name in FROM_FILES.items():
        node = document
        for step in where:
            node = node["additionalProperties"] if step == EACH else node["properties"][step]
        model = models[node["$ref"].rpartition("/")[2]]
        described = f"A file that holds {name}. A relative path begins at the folder of this file."
        model["properties"][f"{name}_file"] = {"type": "string", "description": described}
        if name in model["required"]:
            model["required"].remove(name)
            model["anyOf"] = [{"required": [name]}, {"required": [f"{name}_file"]}]
    return {"$schema": GenerateJsonSchema.schema_dialect, **document, "title": "oauth-proxy"}


class _AsWritten(GenerateJsonSchema):
    """Defaults as a person writes them, no null, and variables wherever words are expected."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def literal_schema(self, schema: core_schema.LiteralSchema) -> dict[str, Any]:
        return {"anyOf": [{"enum": schema["expected"]}, {"type": "string", "pattern": VARIABLE}]}

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        described = self.generate_inner(schema["schema"])
        default = schema.get("default")
        if default is None or isinstance(default, BaseModel):
            return described
        write = schema["schema"].get("serialization", {}).get("function", self.encode_default)
        return {**described, "default": write(default)}
