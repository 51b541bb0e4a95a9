"""Frame.io sign-in in front of any internal web tool."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("frameio-oauth-proxy")
except PackageNotFoundError:
    __version__ = "0+checkout"  # not installed: `make demo` runs it out of its folder
