"""The section `log`: what the proxy writes down, and where."""

from typing import Literal

from oauth_proxy.settings.fields import Section
from oauth_proxy.settings.scalars import Flag

Level = Literal["debug", "info", "warning", "error"]


class Log(Section):
    """What the proxy writes down."""

    format: Literal["text", "json"] = "text"
    """text for people, json for machines."""
    access: Flag = True
    """A line for each request."""
    level: Level = "info"
    """The least grave lines that are written; access lines are info. `oauth-proxy log-level` changes it at run
    time."""
    email: Flag = False
    """The visitor's email address in lines about requests, beside their Frame.io id."""
    trace: Flag = False
    """Begin a trace (traceparent, W3C Trace Context) for requests that bring none, and name it in the log."""
