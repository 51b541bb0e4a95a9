"""Seals bytes into text that only we can open: AES-256-GCM with a ring of keys.

The law: what is sealed for one purpose opens for no other, and every failure to open looks the same.

A sealed text is `base64url(key id (4) · nonce (12) · ciphertext and tag)`. The key for a purpose is derived from
the ring's secret with HKDF (RFC 5869), and the context (a cookie's name, say) is authenticated with it.
"""

import base64
import binascii
import os
import zlib
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SECRET_BYTES = 32
_KEY_ID_BYTES = 4
_NONCE_BYTES = 12
_OVERHEAD = _KEY_ID_BYTES + _NONCE_BYTES + 16
_PLAIN, _DEFLATED = b"\x00", b"\x01"


class Unsealable(Exception):
    """This text was not sealed by us for this purpose and context. The reason is not revealed."""


class Sealer:
    """Seals and opens texts for one purpose. The first secret of the ring seals; each of them opens.

    `secrets` are 32 random bytes each; `limit` is the largest content in bytes, also after decompression.
    """

    def __init__(self, secrets: Sequence[bytes], purpose: str, *, limit: int = 64 * 1024) -> None:
        if not secrets or any(len(secret) != SECRET_BYTES for secret in secrets):
            raise ValueError(f"a key ring is one or more secrets of {SECRET_BYTES} bytes")
        self._purpose = purpose.encode()
        self._ring = {key_id: AESGCM(key) for key_id, key in map(self._derive, secrets)}
        self._current = self._derive(secrets[0])[0]
        # 4 bytes are 5 whole base64 characters and 2 bits. The 5 characters suffice to distinguish the keys.
        self._mark = base64.urlsafe_b64encode(self._current)[:5].decode("ascii")
        self._limit = limit

    def __repr__(self) -> str:
        return f"Sealer({self._purpose.decode()!r}, {len(self._ring)} keys)"

    def _derive(self, secret: bytes) -> tuple[bytes, bytes]:
        info = b"frameio-oauth-proxy/" + self._purpose
        material = HKDF(SHA256(), _KEY_ID_BYTES + SECRET_BYTES, salt=None, info=info).derive(secret)
        return material[:_KEY_ID_BYTES], material[_KEY_ID_BYTES:]

    def seal(self, content: bytes, context: str = "") -> str:
        """Seal `content`; `open` returns it for the text and the same context.

        Raises ValueError when `content` is larger than the limit.
        """
        if len(content) > self._limit:
            raise ValueError(f"{len(content)} bytes are more than the {self._limit} that may be sealed")
        deflated = zlib.compress(content, 6)
        body = _DEFLATED + deflated if len(deflated) < len(content) else _PLAIN + content
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ring[self._current].encrypt(nonce, body, self._bound_to(context))
        return base64.urlsafe_b64encode(self._current + nonce + sealed).rstrip(b"=").decode("ascii")

    def open(self, text: str, context: str = "") -> bytes:
        """The bytes that were sealed. Raises Unsealable for any other text."""
        try:
            raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError):
            raise Unsealable from None
        key = self._ring.get(raw[:_KEY_ID_BYTES])
        if key is None or len(raw) <= _OVERHEAD:
            raise Unsealable
        nonce, sealed = raw[_KEY_ID_BYTES:][:_NONCE_BYTES], raw[_KEY_ID_BYTES + _NONCE_BYTES :]
        try:
            body = key.decrypt(nonce, sealed, self._bound_to(context))
        except InvalidTag:
            raise Unsealable from None
        return self._inflate(body[1:]) if body[:1] == _DEFLATED else body[1:]

    def _bound_to(self, context: str) -> bytes:
        # The context may come from a visitor and hold a lone surrogate, which plain UTF-8 refuses to encode.
        return self._purpose + b"\x00" + context.encode("utf-8", "surrogatepass")

    def is_current(self, text: str) -> bool:
        """Whether the first key of the ring sealed this; if not, it should be sealed again."""
        return text.startswith(self._mark)

    def _inflate(self, deflated: bytes) -> bytes:
        inflater = zlib.decompressobj()
        content = inflater.decompress(deflated, self._limit)
        if not inflater.eof:
            raise Unsealable
        return content
