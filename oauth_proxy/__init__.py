"""Frame.io sign-in in front of any internal web tool."""

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """The version that is installed now; an upgrade may have replaced the one that runs."""
    try:
        return version("frameio-oauth-proxy")
    except PackageNotFoundError:
        return "0+checkout"  # not installed: `make demo` runs it out of its folder


__version__ = installed_version()
