"""The command `oauth-proxy`, also as `python -m oauth_proxy`."""

import gc


def main() -> None:
    """Run the command.

    Nothing of what is imported becomes garbage, and to look for some takes a seventh of a start.
    """
    gc.disable()
    from oauth_proxy.cli import main as command

    gc.freeze()
    gc.enable()
    command(prog_name="oauth-proxy")


if __name__ == "__main__":
    main()
