"""docs/reference.md is what the models say; an example that it shows loads, and a bound that it names is one."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.settings import Settings
from oauth_proxy.settings.fields import Section
from tests.reference import EXAMPLES, PAGE, Key, keys, page
from tests.support.certificates import Authority
from tests.support.proxy import a_secret
from tests.test_readme import README, loaded, trees

KEYS = {key.name: key for key in keys()}


def test_the_page_is_what_the_models_say_now() -> None:
    assert PAGE.read_text("utf-8") == page(), "make reference"


def test_every_field_of_every_section_is_on_the_page() -> None:
    models = [Section]
    for model in models:
        models += model.__subclasses__()
    fields = {name for model in models for name in model.model_fields}
    assert fields <= {step for name in KEYS for step in name.split(".")}


@pytest.mark.parametrize("name", [name for name, key in KEYS.items() if key.described.get("default") is not None])
def test_the_default_that_is_shown_is_in_effect(name: str, tmp_path: Path) -> None:
    value: Any = loaded(trees(README)[0], tmp_path).model_dump(mode="json")
    for step in name.split("."):
        if value is None:
            return  # a section that is off
        value = value["/" if step == "*" else step]
    assert value == KEYS[name].described["default"]


def test_every_value_that_takes_more_than_a_word_has_an_example() -> None:
    plain = {name for name, key in KEYS.items() if _is_plain(key.described)}
    assert set(KEYS) - plain == EXAMPLES.keys()


def _is_plain(described: dict[str, Any]) -> bool:
    return described.get("title") == "true or false" or any("enum" in each for each in described.get("anyOf", []))


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_loads(name: str, folder: Path) -> None:
    load_with(name, yaml.load(EXAMPLES[name], yaml.BaseLoader), folder)  # noqa: S506 it makes only text


@pytest.mark.parametrize(
    "key", [key for key in KEYS.values() if "minimum" in key.described], ids=lambda key: key.name
)
def test_what_lies_beyond_a_bound_is_refused(key: Key, folder: Path) -> None:
    least, most = key.described["minimum"], key.described["maximum"]
    for within in (least, most):
        load_with(key.name, str(within), folder)
    for beyond in (least - 1, most + 1):
        with pytest.raises(ConfigurationError):
            load_with(key.name, str(beyond), folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where every file is that an example names."""
    made = tmp_path_factory.mktemp("reference")
    authority = Authority()
    for name in ("tls", "us"):
        authority.write(made / name, "review.example.com")
    for name in ("network-ca.pem", "tool-ca.pem"):
        authority.write_ca(made / name)
    for name, text in {"client": "a-secret", "session": a_secret(), "webhook": "another"}.items():
        (made / f"{name}.secret").write_text(text)
    (made / "templates").mkdir()
    (made / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return made


def load_with(name: str, value: Any, folder: Path) -> Settings:
    """The README's configuration with this key, and with what stands beside it where it means nothing alone."""
    tree: dict[str, Any] = trees(README)[0]
    beside = {
        "tls.cert": {"tls": {"key": "tls.key"}},
        "tls.key": {"tls": {"cert": "tls.crt"}},
        "upstreams.*.client_cert.cert": {"client_cert": {"key": "us.key"}},
        "upstreams.*.client_cert.key": {"client_cert": {"cert": "us.crt"}},
    }
    tls = name.startswith(("upstreams.*.ca_file", "upstreams.*.client_cert"))
    tool = {"url": "https://127.0.0.1:3000" if tls else "http://127.0.0.1:3000"}
    if name.startswith("upstreams"):
        tree["upstreams"] = {"/": {**tool, **beside.get(name, {})}}
    else:
        tree |= beside.get(name, {})
    if name.endswith("secret_file"):
        tree.get(name.partition(".")[0], {}).pop(name.rpartition(".")[2].removesuffix("_file"), None)
    *above, last = name.replace("webhooks.*", "webhooks./hooks/frameio").replace("*", "/").split(".")
    place = tree
    for step in above:
        place = place.setdefault(step, {})
    place[last] = value
    return loaded(tree, folder)
