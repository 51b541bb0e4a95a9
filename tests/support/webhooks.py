"""Frame.io's own calls, signed by the recipe in its documentation."""

import hashlib
import hmac
from typing import Any

SECRET = "a-signing-secret-of-frame-io"
HOOKS: dict[str, Any] = {"/hooks/frameio": {"secret": SECRET}}
"""What a proxy's configuration says of the webhook."""


def signature(body: bytes, timestamp: str, secret: str = SECRET) -> str:
    """The value of X-Frameio-Signature."""
    message = b"v0:" + timestamp.encode() + b":" + body
    return "v0=" + hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def signed_lines(body: bytes, timestamp: float, secret: str = SECRET) -> list[str]:
    """The header lines of a call that is made at that time."""
    at = str(int(timestamp))
    return [f"X-Frameio-Signature: {signature(body, at, secret)}", f"X-Frameio-Request-Timestamp: {at}"]
