"""The check of the audit stream: whether its file or syslog can be written, without writing a line."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from oauth_proxy.apart import apart
from oauth_proxy.memory import full_disk_hazard
from oauth_proxy.online.findings import Finding, said, well, wrong
from oauth_proxy.outlet import Syslog
from oauth_proxy.settings import AuditTo
from oauth_proxy.telemetry.audit import SYSLOG

_ADVICE = "The proxy does not start without it. Let the user as whom it runs write there: owner, mode, mount."


async def audit_found(to: AuditTo) -> Sequence[Finding]:
    """Whether lines can be written there. Standard error is never wrong, and no line of the answer."""
    if to.to == "stderr":
        return []
    return await apart(partial(_file if to.path else _syslog, f"audit {to}", to.path or Path(SYSLOG)))


def _file(subject: str, path: Path) -> Sequence[Finding]:
    is_there = path.exists()
    if not (os.access(path, os.W_OK) if is_there else os.access(path.parent, os.W_OK | os.X_OK)):
        return wrong(subject, "cannot be written." if is_there else "cannot be made.", _ADVICE)
    if full := full_disk_hazard(path):
        return wrong(subject, *full)
    return well(subject, "can be written." if is_there else "is not there yet, and can be made.")


def _syslog(subject: str, path: Path) -> Sequence[Finding]:
    try:
        Syslog(str(path), "oauth-proxy").reopen().close()
    except OSError as error:
        return wrong(subject, f"cannot be written: {said(error)}.", f"Does a syslog listen at {path}?")
    return well(subject, "takes lines.")
