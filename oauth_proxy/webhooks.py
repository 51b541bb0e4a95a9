"""Requests by Frame.io itself (webhooks and custom actions): a signature gives them access instead of a session.

The law: the signature covers the exact bytes of the body and a time at most five minutes away. Nothing else at
such a path reaches the tool. The same request may come twice within that time: Frame.io repeats it after a failed
response, perhaps with the same signature; two equal events of one second also have the same signature, and
refusing the second would lose an event.
"""

import hmac
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from oauth_proxy.errors import BadRequest, MethodNotAllowed, SignatureRefused
from oauth_proxy.headers import Fields
from oauth_proxy.paths import Target, folded

WINDOW = 300
"""Seconds by which a request's time may differ from ours."""

_SIGNATURE = re.compile(rb"v0=([0-9A-Fa-f]{64})")
_TIMESTAMP = re.compile(rb"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class SignedCall:
    """The signature fields of a request whose body is not read yet; one of `secrets` must have signed it."""

    timestamp: bytes
    signature: bytes
    secrets: Sequence[bytes] = field(repr=False)

    def verify(self, body: bytes) -> None:
        """Raises SignatureRefused unless the signature fits this body."""
        message = b"v0:%b:%b" % (self.timestamp, body)
        made = [hmac.digest(secret, message, "sha256") for secret in self.secrets]
        if not any(hmac.compare_digest(digest, self.signature) for digest in made):
            raise SignatureRefused("the signature of a webhook's call is not of this body, by none of the secrets")


class Webhooks:
    """The webhook paths, each with its `secrets`; `clock` returns seconds since the epoch."""

    def __init__(self, secrets: Mapping[str, Sequence[bytes]], clock: Callable[[], float]) -> None:
        self._secrets = secrets
        self._spellings = {_folded(path) for path in secrets}
        self._readings = frozenset[str]().union(*map(folded, secrets))
        self._clock = clock

    def expect(self, method: str, target: Target, fields: Fields) -> SignedCall | None:
        """The call to verify once its body is read; None if the path is not a webhook's.

        Raises SignatureRefused, MethodNotAllowed, and BadRequest for another spelling of a webhook's path: the
        tool may treat it as the same path, so any signed-in visitor could pose as Frame.io.
        """
        if not self._spellings or not self._may_mean_one(method, target):
            return None
        secrets = self._secrets.get(target.path)
        if secrets is None or not target.plain:
            raise BadRequest("the path of a webhook, spelt in another way")
        if method != "POST":
            raise MethodNotAllowed("a webhook's path, asked by another method", allow=("POST",))
        signature = _only(fields, b"x-frameio-signature", _SIGNATURE)
        timestamp = _only(fields, b"x-frameio-request-timestamp", _TIMESTAMP)
        if abs(self._clock() - int(timestamp[0])) > WINDOW:
            raise SignatureRefused("a webhook's call was signed too long ago, or is ahead of our clock")
        return SignedCall(timestamp[0], bytes.fromhex(signature[1].decode("ascii")), secrets)

    def _may_mean_one(self, method: str, target: Target) -> bool:
        """Whether the tool may take this for a webhook's path; a POST also where that may be any path."""
        readings = folded(target.raw)
        is_read = not readings.isdisjoint(self._readings) if readings else method == "POST"
        return is_read or _folded(target.path) in self._spellings


def _only(fields: Fields, name: bytes, form: re.Pattern[bytes]) -> re.Match[bytes]:
    sent = fields[name]
    matched = form.fullmatch(sent[0]) if len(sent) == 1 else None
    if matched is None:
        raise SignatureRefused(f"a webhook's call with {len(sent)} lines {name.decode()}, or a malformed one")
    return matched


def _folded(path: str) -> str:
    """The path as the most lenient tool reads it: without case, parameters, escapes and extra slashes."""
    return posixpath.normpath("/" + re.split(r"[;?#]", unquote(path).lower())[0].lstrip("/"))
