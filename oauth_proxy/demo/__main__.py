"""`python -m oauth_proxy.demo`: the emulated Frame.io and the tool as a process of their own.

The app's secret comes from the environment variable FRAMEIO_CLIENT_SECRET; without it the app is a PKCE app.
"""

import argparse
import asyncio
import os

from oauth_proxy.demo.serve import Options, serve


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m oauth_proxy.demo", description=__doc__.partition("\n")[0])
    parser.add_argument("--api", choices=["v2", "v4"], default="v2")
    parser.add_argument("--public-url", required=True, help="where visitors find the proxy")
    parser.add_argument("--status-url", default="", help="where operators find the proxy's status page")
    parser.add_argument("--client-id", required=True)
    parser.add_argument("--access-lifetime", type=float, default=3600, help="seconds")
    parser.add_argument("--frameio-port", type=int, default=0)
    parser.add_argument("--tool-port", type=int, default=0)
    # An empty variable is how a shell says "none".
    secret = os.environ.get("FRAMEIO_CLIENT_SECRET") or None
    asyncio.run(serve(Options(client_secret=secret, **vars(parser.parse_args()))))


main()
