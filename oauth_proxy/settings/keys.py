"""The session secret: 32 random bytes in base64, and what gives away one that is not random."""

import base64
import binascii
import re
from itertools import pairwise

from oauth_proxy.settings.problems import Refused

SECRET_BYTES = 32

_PLACEHOLDER = re.compile(
    r"(?:change|replace)[-_ ]?(?:me|this|it).*|your[-_ ].*|<.*>|x{3,}|\.+|…|todo|tbd|placeholder|example|dummy",
    re.IGNORECASE,
)
_ADVICE = "`oauth-proxy secret` prints a good one"


def session_secret(text: str) -> bytes:
    """The 32 bytes behind base64 or base64url text, padded or not; Refused where they look chosen by a person.

    Of random secrets these checks refuse fewer than one in a hundred million.
    """
    try:
        padded = text.translate(str.maketrans("-_", "+/")).rstrip("=")
        secret = base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Refused(f"a session secret is 32 random bytes in base64; {_ADVICE}") from None
    if len(secret) != SECRET_BYTES:
        raise Refused(f"a session secret is 32 random bytes in base64, and this is {len(secret)}; {_ADVICE}")
    if _looks_chosen(text, secret):
        raise Refused(f"this session secret can be guessed, because it is not random; {_ADVICE}")
    return secret


def issued(text: str) -> str:
    """A client id or secret as Frame.io issued it; Refused where it is a placeholder or badly pasted."""
    if _PLACEHOLDER.fullmatch(text):
        raise Refused("this is a placeholder; Frame.io shows the real one on the app's page")
    if not re.fullmatch(r"[\x21-\x7e]{1,1000}", text):
        raise Refused("this is not what Frame.io issues: it has spaces or characters outside ASCII in it")
    return text


def _looks_chosen(text: str, secret: bytes) -> bool:
    steps = {(after - before) % 256 for before, after in pairwise(secret)}
    return (
        len(set(secret)) <= 16  # repeats: random bytes have about 30 different ones
        or len(steps) <= 12  # counts up or down
        or all(0x20 <= byte < 0x7F for byte in secret)  # a sentence, encoded
        or text in (text.lower(), text.upper())  # a sentence that happens to be base64
    )
