"""The audit stream: who signed in and out, who was refused, and what operators did; one JSON object per line.

The law: a line is written as a whole or not at all, never holds a token, and what strangers can cause is bounded.
"""

import errno
import hashlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal, TextIO

from oauth_proxy.bounded import Bounded
from oauth_proxy.errors import ConfigurationError, MayPass
from oauth_proxy.identity import Session
from oauth_proxy.outlet import LineFile, Outlet, Syslog
from oauth_proxy.settings import AuditTo, Log
from oauth_proxy.telemetry.logs import stamp

if TYPE_CHECKING:
    from oauth_proxy.requests import Request

log = logging.getLogger(__name__)

Event = Literal[
    "sign_in",
    "sign_out",
    "refused_at_door",
    "refused_by_rule",
    "session_ended",
    "revoke",
    "reload",
    "key_change",
    "log_level",
    "token_given",
]
By = Literal["visitor", "program", "tool", "provider", "operator", "proxy"]

SYSLOG = "/dev/log"
LOST = "Lines of the audit stream that could not be written."
"""What the metric counts."""
_MODE = 0o640
_LONGEST = 500
_REMEMBERED = 4096
_OF_ONE, _OF_ALL = (10.0, 1.0), (100.0, 10.0)
"""Lines in a burst and per second: of one person or address, and of all together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLine:
    """A line of the audit stream; keys whose value is not known are left out.

    `session` is a digest, by which the lines of one session are found; it opens nothing. `subject` is what an
    operator has named, and `operator` who that is, as their own machine says. `held_back` is how many lines like
    this were not written just before it.
    config/audit-schema.json is the JSON Schema of this.
    """

    time: str
    event: Event
    by: By
    user: str | None = None
    email: str | None = None
    client: str | None = None
    request_id: str | None = None
    trace_id: str | None = None
    session: str | None = None
    subject: str | None = None
    operator: str | None = None
    why: str | None = None
    held_back: int | None = None


class Audit:
    """Writes events by `write`, which gets whole lines and may raise OSError; with None, nothing is written."""

    def __init__(
        self,
        write: Callable[[str], None] | None = None,
        *,
        email: bool = True,
        reopen: Callable[[], object] = lambda: None,
        close: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.close = close
        """Close the file; nothing is written after that."""
        self._write = write
        self._reopen = reopen
        self._email = email
        self._allowances = Bounded[tuple[str, str], _Allowance](_REMEMBERED)
        self._together = _Allowance(*_OF_ALL)
        self._clock = clock
        self.lost = 0
        """Lines that could not be written, so far."""
        self.trouble: str | None = None
        """Why the last line could not be written; None if it could."""
        self._lost_before = 0

    def note(
        self,
        event: Event,
        by: By,
        why: str | None = None,
        *,
        session: Session | None = None,
        request: "Request | None" = None,
        client: str | None = None,
        subject: str | None = None,
        operator: str = "",
    ) -> None:
        """Write that this has happened, to whom (`session`), and in which `request`, or from which `client`."""
        if self._write is None:
            return
        if request is not None:
            client = request.chain[0] if request.chain else None
        held_back = None
        if event in ("refused_at_door", "refused_by_rule", "token_given"):
            held_back = self._held_back(event, session.identity.id if session else client or "")
            if held_back is None:
                return
        who = session.identity if session is not None else None
        line = AuditLine(
            time=stamp(time.time()),
            event=event,
            by=by,
            user=who.id if who else None,
            email=who.email if who and self._email else None,
            client=client or None,
            request_id=request.request_id if request is not None else None,
            trace_id=(request.trace_id or None) if request is not None else None,
            session=hashlib.sha256(session.id.encode()).hexdigest()[:16] if session else None,
            subject=subject,
            operator=operator[:_LONGEST] or None,
            why=why[:_LONGEST] if why is not None else None,
            held_back=held_back or None,
        )
        self._append(json.dumps({key: value for key, value in asdict(line).items() if value is not None}) + "\n")

    def reopen(self) -> None:
        """Open the file anew: it was rotated. It is noticed before each line, too."""
        try:
            self._reopen()
        except OSError as error:
            self._fail(error)

    def _append(self, line: str) -> None:
        """Write the line. Where that fails nobody waits for it: it is counted."""
        if self._write is None:
            return
        try:
            self._write(line)
        except OSError as error:
            self.lost += 1
            self._fail(error)
        else:
            if self.trouble is not None:
                log.warning("the audit stream is written again; %d lines were lost", self.lost - self._lost_before)
                self.trouble, self._lost_before = None, self.lost

    def _fail(self, error: OSError) -> None:
        """Say in the log that lines are lost from now on, once for each cause."""
        trouble = f"audit lines are lost: {error.strerror or error}"
        if trouble != self.trouble:
            self.trouble = trouble
            log.error("%s", trouble)  # no traceback: what operators have to know is the cause

    def _held_back(self, event: Event, whose: str) -> int | None:
        """How many lines were held back before this one; None if this one is held back, too."""
        key, now = (event, whose), self._clock()
        own = self._allowances.get(key) or _Allowance(*_OF_ONE)
        self._allowances.keep(key, own)
        if not own.has(now) or (event == "refused_at_door" and not self._together.has(now)):
            own.held_back += 1
            return None
        held_back, own.held_back = own.held_back, 0
        return held_back


class _Allowance:
    """So many in a burst, and so many a second after that."""

    def __init__(self, burst: float, per_second: float) -> None:
        self.held_back = 0
        self._burst = self._left = burst
        self._per_second = per_second
        self._then = 0.0

    def has(self, now: float) -> bool:
        """Whether there is one more; it is taken."""
        self._left = min(self._burst, self._left + max(0.0, now - self._then) * self._per_second)
        self._then = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


SILENT = Audit()


def audit_for(settings: Log, log_to: TextIO | Outlet, *, may_wait: bool = False) -> Audit:
    """The audit stream of these settings. Raises ConfigurationError, and MayPass if it cannot be written now.

    If it `may_wait`, lines are lost until it can be written, as they are where it breaks later.
    """
    email, to = settings.email is not False, settings.audit
    if to is None:
        return SILENT
    if to.to == "stderr":
        return Audit(lambda line: _to_stream(log_to, line), email=email)
    stream = LineFile(to.path, _MODE) if to.path else Syslog(SYSLOG, "oauth-proxy")
    audit = Audit(stream.write, email=email, reopen=stream.reopen, close=stream.close)
    if may_wait:
        audit.reopen()
        return audit
    try:
        stream.reopen()
    except OSError as error:
        problem = f"log.audit: {to.path or SYSLOG} cannot be written: {error.strerror}"
        kind = MayPass if MayPass.fits(error) or _nobody_reads_yet(to, error) else ConfigurationError
        raise kind([problem]) from None
    return audit


def _nobody_reads_yet(to: AuditTo, error: OSError) -> bool:
    """Whether it is a syslog, or the reader of a pipe, that has not started."""
    return error.errno in (errno.ECONNREFUSED, errno.ENXIO) or (to.path is None and error.errno == errno.ENOENT)


def _to_stream(stream: TextIO | Outlet, line: str) -> None:
    dropped = stream.dropped if isinstance(stream, Outlet) else 0
    stream.write(line)
    stream.flush()
    if isinstance(stream, Outlet) and stream.dropped > dropped:
        raise OSError(errno.EAGAIN, "nobody reads standard error")
