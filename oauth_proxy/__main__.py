"""The command `oauth-proxy`, also as `python -m oauth_proxy`."""

from oauth_proxy.garbage import only_imports


def main() -> None:
    """Run the command."""
    with only_imports():
        from oauth_proxy.cli import main as command
    command(prog_name="oauth-proxy")


if __name__ == "__main__":
    main()
