"""The cast in a process of its own, which never outlives the one that started it."""

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from itertools import islice
from pathlib import Path

from oauth_proxy.demo.dialects import V2, V4
from oauth_proxy.demo.people import Api

CLIENT_ID = "demo"


class NotStartedError(Exception):
    """The demo cannot begin; the text says why."""

    def __init__(self, why: str = "the demo's emulated Frame.io did not start") -> None:
        super().__init__(why)


def listening(port: int) -> socket.socket:
    """A socket that listens on the port, or on a free one for 0. Raises NotStartedError if it is taken."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        raise NotStartedError(
            f"port {port} is taken; choose another one with --port, or any free one with --port 0"
        ) from None


def configuration() -> Path:
    """The demo's configuration: beside the package in a checkout, inside an installed package."""
    package = Path(str(files("oauth_proxy")))
    checkout = package.parent / "config" / "demo.yaml"
    return checkout if checkout.exists() else package / "demo" / "demo.yaml"


@contextmanager
def launched(
    public_url: str, api: Api, environ: Mapping[str, str], status_url: str = ""
) -> Iterator[dict[str, str]]:
    """While the emulated Frame.io and the tool run: the variables in config/demo.yaml that tell where they are.

    The tool's page leads to `status_url`, the operators' page, if there is one. The process of both gets `environ`
    and ends when its standard input closes, however this one ends. Raises NotStartedError.
    """
    client_secret = secrets.token_urlsafe(32)
    cast_of_its_own = [
        "-m",
        "oauth_proxy.demo",
        "--api",
        api,
        "--client-id",
        CLIENT_ID,
        "--public-url",
        public_url,
        "--status-url",
        status_url,
    ]
    its_input, our_end = os.pipe()
    with subprocess.Popen(  # noqa: S603 our own module, no shell
        [sys.executable, *cast_of_its_own],
        env={**environ, "FRAMEIO_CLIENT_SECRET": client_secret},
        stdin=its_input,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl+C is for the proxy
    ) as cast:
        os.close(its_input)
        try:
            line = b"".join(islice(cast.stdout or (), 1))
            if not line:
                raise NotStartedError
            yield _variables(api, client_secret, json.loads(line))
        finally:
            os.close(our_end)


def _variables(api: Api, client_secret: str, ports: Mapping[str, int]) -> dict[str, str]:
    frameio = f"http://127.0.0.1:{ports['frameio']}"
    dialect = V2 if api == "v2" else V4
    return {
        "DEMO_API": api,
        "DEMO_CLIENT_ID": CLIENT_ID,
        "DEMO_CLIENT_SECRET": client_secret,
        "DEMO_AUTHORIZE_URL": frameio + dialect.authorize,
        "DEMO_TOKEN_URL": frameio + dialect.token,
        "DEMO_REVOKE_URL": frameio + dialect.revoke,
        "DEMO_API_URL": frameio,
        "DEMO_TOOL_URL": f"http://127.0.0.1:{ports['tool']}",
    }
