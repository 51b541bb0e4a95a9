"""The tools of docs/examples/assertion, and what somebody who reaches one past the proxy would try."""

import base64
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiohttp import ClientSession
from joserfc import jwk, jwt

from oauth_proxy.assertions import LIFETIME, Assertions
from oauth_proxy.demo.people import EDITOR
from oauth_proxy.identity import Identity, Session, Tokens
from tests.support.browser import Visitor
from tests.support.examples import EXAMPLES, example
from tests.support.proxy import Clock, Stage, a_secret, free_port, on_stage

FOLDER = EXAMPLES / "assertion"
HEADER = "X-OAuth-Proxy-Assertion"
_SESSION = Session("s", Identity("u1", "a@b.example"), Tokens("t", 0, 0), 0, 0)


async def believes_the_proxy_alone(visitor: Visitor, *command: str | Path, **environ: str) -> None:
    """Let a visitor sign in and ask this tool, which gets its port as last argument; then try to deceive it."""
    port = free_port()
    upstream = f"http://127.0.0.1:{port}"
    # The tool has the machine's clock; this one has passed as far, and stands still.
    async with on_stage(
        clock=Clock(time.time()), upstreams={"/": upstream}, headers={HEADER: "{assertion}"}
    ) as stage:
        environ["PUBLIC_URL"] = stage.url
        async with example(*command, str(port), port=port, environ=environ), ClientSession() as http:
            answer = await visitor.login(f"{stage.url}/")
            assert answer.status == 200, await answer.text()
            assert json.loads(await answer.text())["email"] == EDITOR.email

            async def asked(assertion: str | None) -> int:
                async with http.get(
                    upstream, headers={HEADER: assertion} if assertion is not None else {}
                ) as told:
                    return told.status

            assert await asked(_signed(stage)) == 200, "made as the proxy makes it"
            for what, assertion in _deceptions(stage):
                assert await asked(assertion) == 401, what


def _signed(stage: Stage, *, ago: float = 0, issuer: str = "", path: str = "/", secret: bytes = b"") -> str:
    ring = [secret] if secret else stage.settings.session.keys
    makes = Assertions(ring, issuer or stage.url, lambda: time.time() - ago)
    return makes.of(_SESSION, stage.url + path)


def _published(stage: Stage) -> Any:
    return Assertions(stage.settings.session.keys, stage.url, time.time).keys["keys"]


def _deceptions(stage: Stage) -> Iterator[tuple[str, str | None]]:
    good = _signed(stage)
    head, claims, signature = good.split(".")
    yield "none", None
    yield "empty", ""
    yield "no signature", f"{head}.{claims}."
    yield "another's claims", f"{head}.{_part({**_read(claims), 'sub': 'u2'})}.{signature}"
    yield "no algorithm", f"{_part({'alg': 'none', 'typ': 'JWT'})}.{claims}."
    yield "over", _signed(stage, ago=LIFETIME + 60)
    yield "not yet", _signed(stage, ago=-120)
    yield "for another tool", _signed(stage, path="/render/")
    yield "of another proxy", _signed(stage, issuer="https://other.example.com")
    yield "by another secret", _signed(stage, secret=base64.b64decode(a_secret()))
    ours: dict[str, Any] = _read(head)
    forger = jwk.ECKey.generate_key("P-256", {"kid": ours["kid"]})
    yield "by another key under our id", jwt.encode(ours, _read(claims), forger, ["ES256"])
    theirs = {**ours, "kid": "theirs", "jwk": forger.as_dict(private=False)}
    yield "brings its own key", jwt.encode(theirs, _read(claims), forger, ["ES256"])
    # The public key as the secret of an HMAC: who believes the algorithm in the header believes this.
    [key] = _published(stage)
    public = jwk.ECKey.import_key(key)
    text = f"{_part({**ours, 'alg': 'HS256'})}.{claims}"
    for secret in (public.as_pem(private=False), public.as_der(private=False)):
        yield "by our public key", f"{text}.{_base64(hmac.digest(secret, text.encode(), 'sha256'))}"


def _read(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def _part(content: dict[str, Any]) -> str:
    return _base64(json.dumps(content).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
