"""The types of the values in the file: how each is read, written again, and described to an editor."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, PlainSerializer, PlainValidator, SecretBytes, SecretStr, WithJsonSchema

from oauth_proxy.settings import addresses, checks, keys, listeners, rules, stores, units
from oauth_proxy.settings.written import Written

Duration = Annotated[float, Written(units.duration, units.written_duration, {"pattern": units.DURATION_PATTERN})]
Flag = Annotated[bool, Written(checks.flag, bool, {"type": ["boolean", "string"], "pattern": "^(true|false)$"})]
Recheck = Annotated[float, Written(checks.recheck, units.written_duration, {"pattern": units.DURATION_PATTERN})]
Listener = Annotated[
    addresses.Listen,
    PlainValidator(listeners.listener),
    PlainSerializer(listeners.written, when_used="json"),
    WithJsonSchema(listeners.SCHEMA),
]
LocalListener = Annotated[Listener, AfterValidator(addresses.local)]
Url = Annotated[str, Written(addresses.url, schema={"pattern": "^https?://"})]
Store = Annotated[
    stores.Store, Written(stores.parse_store, schema={"pattern": stores.PATTERN}), AfterValidator(checks.stored)
]
Folder = Annotated[Path, Written(Path), AfterValidator(checks.folder)]
File = Annotated[Path, Written(Path), AfterValidator(checks.file)]
Issued = Annotated[SecretStr, Written(lambda text: SecretStr(keys.issued(text)), lambda _: "<hidden>")]
SessionKey = Annotated[
    SecretBytes, Written(lambda text: SecretBytes(keys.session_secret(text)), lambda _: "<hidden, 32 bytes>")
]
Rule = Annotated[
    rules.Rule,
    PlainValidator(rules.rule),
    PlainSerializer(lambda rule: rule.written(), when_used="json"),
    WithJsonSchema(rules.RULE_SCHEMA),
]
