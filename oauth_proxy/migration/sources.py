"""What oauth2-proxy would go by: its flags before its environment, and that before its file."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.migration.names import NOT_THEIRS, OLD, PLURAL

_LARGEST_FILE = 1024 * 1024
_PREFIX = "OAUTH2_PROXY_"
_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false", "")
_GO_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_GO_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?)(ns|us|µs|ms|s|m|h)")


@dataclass(frozen=True, slots=True)
class Theirs:
    """Values by the names that they have in oauth2-proxy.cfg; `alpha` is the other file, its keys in lower case.

    `names` says what each value is called where it was found.
    """

    values: Mapping[str, object]
    alpha: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    def name(self, key: str) -> str:
        """What to call this key: as in the file, or as the flag or the variable that it was found in."""
        return self.names.get(key, key)

    def text(self, key: str) -> str:
        """The value as one text; empty if there is none."""
        value = self.values.get(key, "")
        return value.strip() if isinstance(value, str) else "" if isinstance(value, list | dict) else str(value)

    def items(self, key: str) -> list[str]:
        """The value as a list; a text is split at its commas, as oauth2-proxy does."""
        value = self.values.get(key, [])
        parts = value if isinstance(value, list) else str(value).split(",")
        return [text for part in parts if (text := str(part).strip())]

    def flag(self, key: str, *, default: bool = False) -> bool:
        """The value as yes or no."""
        return as_flag(self.values.get(key), default=default)

    def is_set(self, key: str) -> bool:
        """Whether there is such a value, and it is not empty and does not say no."""
        value = self.values.get(key)
        return bool(value) and str(value).strip().lower() not in _FALSE


def as_flag(value: object, *, default: bool) -> bool:
    """Yes or no as Go's ParseBool reads it; the default for anything else."""
    folded = str(value).strip().lower()
    if value is None or folded not in (*_TRUE, *_FALSE[:-1]):
        return default
    return folded in _TRUE


def seconds(value: object) -> float | None:
    """A duration of Go's in seconds: `1h30m`, or a number of nanoseconds; None if it is neither."""
    text = str(value).strip()
    if re.fullmatch(r"[0-9]{1,18}", text, re.ASCII):
        return int(text) / 1e9
    parts = _GO_DURATION.findall(text) if re.fullmatch(f"(?:{_GO_DURATION.pattern})+", text) else []
    return sum(float(number) * _GO_UNITS[unit] for number, unit in parts) if parts else None


def read(file: Path | None, alpha: Path | None, flags: Sequence[str], environ: Mapping[str, str]) -> Theirs:
    """Read all of it. Raises ConfigurationError for what cannot be read.

    The flags may name both files, as they do for oauth2-proxy.
    """
    given = list(_parsed(flags))
    named = {key: Path(value) for key, value in given if key in ("config", "alpha_config")}
    file, alpha = file or named.get("config"), alpha or named.get("alpha_config")
    values: dict[str, object] = {}
    names: dict[str, str] = {}
    if file is not None:
        for written, value in _toml(file).items():
            key = written.replace("-", "_")  # as many people write it
            values[OLD.get(key, key)] = value
            names[OLD.get(key, key)] = written
    for name in sorted(environ):
        key = name.removeprefix(_PREFIX).lower()
        if name.startswith(_PREFIX) and not key.startswith(NOT_THEIRS):
            values[OLD.get(key, key)] = environ[name]
            names[OLD.get(key, key)] = name
    flagged: dict[str, object] = {}
    for flag, value in given:
        if flag in named:
            continue
        key = PLURAL.get(flag, flag)
        names[key] = f"--{flag.replace('_', '-')}"
        earlier = flagged.get(key)
        if flag in PLURAL or isinstance(earlier, list) or flag.startswith("skip_auth_regex"):
            flagged[key] = [*(earlier if isinstance(earlier, list) else []), *value.split(",")]
        else:
            flagged[key] = value
    return Theirs(values | flagged, _folded(_yaml(alpha)) if alpha else {}, names)


def _parsed(flags: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each flag, with '_' for '-', and its value; a flag without one is a yes."""
    waiting = list(flags)
    while waiting:
        word = waiting.pop(0)
        if not re.match("--?[A-Za-z]", word):
            raise ConfigurationError(
                ["a flag of oauth2-proxy begins with --, as in --upstream=http://127.0.0.1:3000"]
            )
        name, equals, value = word.lstrip("-").partition("=")
        if not equals:
            takes_next = bool(waiting) and (waiting[0] == "-" or not waiting[0].startswith("-"))
            value = waiting.pop(0) if takes_next else "true"
        yield name.replace("-", "_").lower(), value


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        if len(content) <= _LARGEST_FILE:
            return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError([f"{path}: the file is not UTF-8 text"]) from None
    except OSError as error:
        reason = (error.strerror or "the system gives no reason").lower()
        raise ConfigurationError([f"{path}: the file cannot be read: {reason}"]) from None
    raise ConfigurationError([f"{path}: the file is larger than 1MiB, so it is not a configuration"])


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_content(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([f"{path}: this is not TOML: {error}"]) from None


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(_content(path))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ConfigurationError([f"{path}{at}: this is not YAML"]) from None


def _folded(value: Any) -> Any:
    """The same with all keys in lower case: Go reads them so."""
    if isinstance(value, dict):
        return {str(key).lower(): _folded(each) for key, each in value.items()}
    return [_folded(each) for each in value] if isinstance(value, list) else value
