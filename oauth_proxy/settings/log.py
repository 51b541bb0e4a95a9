"""The section `log`: what the proxy writes down, and where."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, ValidationInfo

from oauth_proxy.settings.fields import FromText, Section, reading
from oauth_proxy.settings.problems import Refused, nearest, reason
from oauth_proxy.settings.scalars import Flag

Level = Literal["debug", "info", "warning", "error"]

_WORDS = ("stderr", "syslog")


@dataclass(frozen=True, slots=True)
class AuditTo:
    """Where the audit stream goes: standard error, syslog, or the file at `path`."""

    to: Literal["stderr", "syslog", "file"]
    path: Path | None = None

    def __str__(self) -> str:
        return self.to if self.path is None else str(self.path)


def parse_audit(text: str) -> AuditTo:
    """`stderr`, `syslog`, or a path, which has a "/" in it."""
    if text == "stderr":
        return AuditTo("stderr")
    if text == "syslog":
        return AuditTo("syslog")
    if "/" not in text or not text.isprintable():
        near = nearest(text, _WORDS) if "\\" not in text else None
        raise Refused("the audit stream goes to stderr, syslog, or a file's path, such as ./audit.log", near)
    return AuditTo("file", Path(text))


def _require_folder(audit: AuditTo, info: ValidationInfo) -> AuditTo:
    """With an absolute path, in a folder that is there. Whether it may be written is seen at the start."""
    if audit.path is None:
        return audit
    path = reading(info).folder / audit.path
    try:
        if not path.parent.is_dir():
            raise Refused("the folder of this file is not there")
        if path.is_dir():
            raise Refused("this is a folder, and the audit stream is a file", f"{audit}/audit.log")
    except OSError as error:
        raise Refused(f"the file cannot be used: {reason(error)}") from None
    return AuditTo("file", path)


class Log(Section):
    """What the proxy writes down."""

    format: Literal["text", "json"] = "text"
    """text for people, json for machines: what is a word in the one is a field in the other."""
    access: Flag = True
    """A line for each request."""
    level: Level = "info"
    """The least grave lines that are written; access lines are info. `oauth-proxy log-level` changes it at run
    time."""
    email: Flag | None = None
    """The visitor's email address beside their Frame.io id: with true in every line, with false in none; by
    default in the audit stream only."""
    audit: Annotated[AuditTo, FromText(parse_audit), AfterValidator(_require_folder)] | None = None
    """Who signed in and out, who was refused, what operators did, as JSON lines: a file's path (with a / in it),
    stderr or syslog. Off unless set."""
    trace: Flag = False
    """Begin a trace (traceparent, W3C Trace Context) for requests that bring none, and name it in the log. Without
    it, traceparent passes as it came."""
