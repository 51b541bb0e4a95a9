"""Frame.io sign-in in front of any internal web tool."""

__version__ = "0.2.0"
