"""`python -m oauth_proxy` is the command `oauth-proxy`."""

from oauth_proxy.cli import main

main(prog_name="oauth-proxy")
