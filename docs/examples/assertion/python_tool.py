"""A tool that believes the proxy's assertion and nothing else: python python_tool.py PORT.

PUBLIC_URL is the proxy's public_url. It needs PyJWT with its extra: pip install "PyJWT[crypto]".
"""

import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import make_server

import jwt

PUBLIC_URL = os.environ["PUBLIC_URL"]
# Keeps the keys, and asks again when it meets a key id that it does not know.
KEYS = jwt.PyJWKClient(f"{PUBLIC_URL}/oauth2/keys", lifespan=300)


def visitor(assertion: str) -> dict[str, Any]:
    """Who is asking. Raises jwt.PyJWTError for whatever the proxy did not sign for this tool and this moment."""
    claims: dict[str, Any] = jwt.decode(
        assertion,
        KEYS.get_signing_key_from_jwt(assertion),
        algorithms=["ES256"],  # never what the assertion itself names
        issuer=PUBLIC_URL,
        audience=f"{PUBLIC_URL}/",  # the address of this tool: with a prefix, that too
        leeway=30,  # clocks differ
        options={"require": ["iss", "aud", "sub", "iat", "nbf", "exp"]},
    )
    return claims


def tool(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Say who is asking, or 401."""
    try:
        claims = visitor(environ.get("HTTP_X_OAUTH_PROXY_ASSERTION", ""))
    except jwt.PyJWTError as error:
        start_response("401 Unauthorized", [("Content-Type", "text/plain")])
        return [f"{error}\n".encode()]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"id": claims["sub"], "email": claims.get("email")}).encode()]


if __name__ == "__main__":
    make_server("127.0.0.1", int(sys.argv[1]), tool).serve_forever()
