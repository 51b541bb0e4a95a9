"""Certificates: those that visitors get (`tls`), the one that a tool gets of us, and whom we trust."""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from oauth_proxy.certificates import Unusable, read_certificate, require_key_of
from oauth_proxy.settings.fields import VARIABLE, File, FromText, Section
from oauth_proxy.settings.problems import Refused

TlsVersion = Literal["1.2", "1.3"]

_VERSIONS: tuple[TlsVersion, ...] = get_args(TlsVersion)
_SCHEMA = {
    "type": ["number", "string"],  # an editor reads 1.3 as a number
    "anyOf": [{"enum": [1.2, 1.3, *_VERSIONS]}, {"type": "string", "pattern": VARIABLE}],
    "default": 1.2,
}


def _parse_version(text: str) -> TlsVersion:
    for version in _VERSIONS:
        if text == version:
            return version
    meant = next((version for version in _VERSIONS if text.endswith(version)), None)
    raise Refused("the oldest version of TLS to accept is 1.2 or 1.3", meant)


def _require_certificates(path: Path) -> Path:
    try:
        read_certificate(path)
    except Unusable as unusable:
        raise Refused(str(unusable)) from None
    return path


CaFile = Annotated[File, AfterValidator(_require_certificates)]
"""The absolute path of a file that holds a certificate."""


class Pair(Section):
    """A certificate and its key."""

    cert: CaFile
    """The certificate and its chain, PEM."""
    key: File
    """The certificate's private key, PEM, not encrypted."""

    # Only one of the two files is at fault: it is the one whose line the problem names.

    @field_validator("key")
    @classmethod
    def _require_its_key(cls, key: Path, info: ValidationInfo) -> Path:
        if "cert" in info.data:
            try:
                require_key_of(read_certificate(info.data["cert"]), key)
            except Unusable as unusable:
                raise Refused(str(unusable)) from None
        return key


class Tls(Pair):
    """Serve https ourselves, with these files; without `tls`, whatever stands in front does."""

    min_version: Annotated[TlsVersion, FromText(_parse_version, float, _SCHEMA)] | None = None
    """The oldest version of TLS to accept. In a list it stands with the first certificate, for all names: the
    version is agreed on before the certificate is chosen."""


def _as_list(value: Any) -> Any:
    if isinstance(value, str):
        raise Refused("two files are wanted here: {cert: tls.crt, key: tls.key}, or a list of such")
    return [value] if isinstance(value, dict) else value


def _with_one_version(listed: tuple[Tls, ...]) -> tuple[Tls, ...]:
    """The same with the version at the first, written or not, and Refused where another has one.

    OpenSSL agrees on the version before it asks which certificate the name is for. So there is only one for all.
    """
    first, *others = listed
    if any(each.min_version for each in others):
        raise Refused("min_version holds for all names, so it stands with the first certificate alone")
    return (first.model_copy(update={"min_version": first.min_version or _VERSIONS[0]}), *others)


TlsList = Annotated[
    tuple[Tls, ...], Field(min_length=1), BeforeValidator(_as_list), AfterValidator(_with_one_version)
]
"""Certificates, at least one; the first is for visitors who name no host, or an unknown one."""
