"""Assertions: signed statements (JWT, RFC 7519) about who the visitor is, which a tool can verify by itself.

The law: an assertion holds no token of Frame.io's, is for one address only, and is good for minutes.

The keys are derived from the secrets of the sessions, so every worker and replica has the same ones without being
told. ES256 (RFC 7518 3.4) lets a tool verify what it could not have written.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from sys import getsizeof
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from oauth_proxy.bounded import Weighed
from oauth_proxy.headers import one_line
from oauth_proxy.identity import Identity, Session

LIFETIME = 300
"""Seconds for which an assertion is good. Its second half is for requests under way, and clocks that differ."""
REMEMBERED_BYTES = 4 * 1024 * 1024
"""For assertions that are used again: about 4000 of them."""
_ALGORITHM = "ES256"
PURPOSE = b"frameio-oauth-proxy/assertion"
"""What the key is derived for: the same secret gives other keys for other purposes."""
# The order of the group of P-256 (SEC 2, 2.4.2): a private key is a number from 1 to one less than that.
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# 64 bits more than the order has: then the remainder is as good as uniform (FIPS 186-5 A.2.1).
_SEED_BYTES = 40


class _Issued(NamedTuple):
    about: Identity
    at: int
    text: str


class Assertions:
    """The assertions of one site. The first secret of the ring signs; the keys of all of them are published.

    `issuer` is the public URL. `now` returns seconds since the epoch by the system clock, which tools have too.
    """

    def __init__(self, ring: Sequence[bytes], issuer: str, now: Callable[[], float]) -> None:
        keys = [_key(secret) for secret in ring]
        self._key = keys[0]
        self._header = {"alg": _ALGORITHM, "typ": "JWT", "kid": keys[0].kid}
        self._issuer = issuer
        self._now = now
        self._issued = Weighed[tuple[str, str], _Issued](REMEMBERED_BYTES, _weight)
        self.keys: Mapping[str, object] = {**KeySet([*keys]).as_dict(private=False)}
        """The public keys as a JWK Set (RFC 7517 5)."""

    def of(self, session: Session, audience: str) -> str:
        """Return an assertion about the session's visitor for the tool at that address.

        It is good for at least half of its lifetime, and may have been given out before.
        """
        now = int(self._now())
        known = self._issued.get((session.id, audience))
        # An assertion from the future is no better than one from the past: somebody has set the clock back.
        if known and 0 <= now - known.at < LIFETIME / 2 and known.about == session.identity:
            return known.text
        text = self._signed(session.identity, audience, now)
        self._issued.keep((session.id, audience), _Issued(session.identity, now, text))
        return text

    def _signed(self, who: Identity, audience: str, now: int) -> str:
        told = {"sub": who.id, "email": who.email, "name": who.name, "account_id": who.account_id}
        claims = {
            "iss": self._issuer,
            "aud": audience,
            # As in a header: half a character in a profile, which JSON cannot hold, becomes "?".
            **{claim: one_line(value) for claim, value in told.items() if value},
            "iat": now,
            "nbf": now,
            "exp": now + LIFETIME,
            "jti": secrets.token_urlsafe(16),
        }
        return jwt.encode(self._header, claims, self._key, [_ALGORITHM])


def _key(secret: bytes) -> ECKey:
    """The signing key that belongs to one secret; the key id is its thumbprint (RFC 7638)."""
    seed = HKDF(SHA256(), _SEED_BYTES, salt=None, info=PURPOSE).derive(secret)
    number = int.from_bytes(seed) % (_ORDER - 1) + 1
    key = ECKey.import_key(derive_private_key(number, SECP256R1()))
    return ECKey.import_key(key.raw_value, {"use": "sig", "alg": _ALGORITHM, "kid": key.thumbprint()})


def _weight(key: tuple[str, str], issued: _Issued) -> int:
    return sum(map(getsizeof, (key, *key, issued, issued.text)))
