"""What a worker tells of its last seconds: how much its counters have grown, and what was refused or failed.

Nothing is counted a second time: the counters of the metrics are read when a step of time is over. So a request
costs no more than before; only one that is refused or fails makes a row.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from oauth_proxy.recent import STEP, Recent, Row, Told
from oauth_proxy.telemetry.access_log import facts
from oauth_proxy.telemetry.metrics import Metrics
from oauth_proxy.telemetry.traffic import Traffic

if TYPE_CHECKING:
    from oauth_proxy.outcomes import Outcome
    from oauth_proxy.requests import Request

_EXPECTED = "no session: no cookie"
"""Why everybody is sent to the login once: that is no trouble."""
_LONGEST = {"path": 200, "cause": 300, "email": 320}
_SHORT = 100


class Recorder:
    """Reads `metrics` and the tools' `traffic`; `tell` gets what has happened. The clocks return seconds."""

    def __init__(
        self,
        metrics: Metrics,
        traffic: Mapping[str, Traffic],
        tell: Callable[[Told], None],
        monotonic: Callable[[], float],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._metrics = metrics
        self._traffic = traffic
        self._tell = tell
        self._monotonic = monotonic
        self._wall = wall
        self._recent = Recent()
        self._before: Mapping[str, float] = dict(self._totals())

    def answered(self, request: "Request", outcome: "Outcome") -> None:
        """Keep a row if the request was refused or failed. Is called for what has a cause, and from 500 on."""
        status = outcome.response.status
        is_broken = outcome.by == "tool" and outcome.cause is not None
        if (status < 400 and not is_broken) or (status == 401 and outcome.cause == _EXPECTED):
            return
        now = self._wall()
        row: Row = {"at": now, "first": now, "count": 1, "failure": outcome.failure, "by": outcome.by}
        told = facts(request, status, email=True)
        told["cause"] = outcome.cause or "the tool's own answer"
        row |= {key: _cut(key, value) for key, value in told.items()}
        row["whose"] = row.get("user") or request.client
        self._recent.note(row)

    @property
    def step(self) -> int:
        """The number of the present step."""
        return int(self._monotonic() // STEP)

    @property
    def left(self) -> float:
        """Seconds until it is over."""
        return (self.step + 1) * STEP - self._monotonic()

    def tell(self, step: int) -> None:
        """Tell what has happened since the last time, as having happened in this step."""
        totals = dict(self._totals())
        grown = {name: number - self._before.get(name, 0) for name, number in totals.items()}
        self._before = totals
        self._recent.count(step, {name: number for name, number in grown.items() if number})
        self._tell(self._recent.take())

    def _totals(self) -> Iterator[tuple[str, float]]:
        yield from self._metrics.answered.totals().items()
        yield "faults", self._metrics.refusals.numbers()["fault",]
        for (result,), number in self._metrics.logins.numbers().items():
            yield f"login {result}", number
        for (call, result), number in self._metrics.provider_calls.numbers().items():
            yield f"{call}: {result}", number
        for prefix, traffic in self._traffic.items():
            yield f"answers of {prefix}", sum(traffic.requests.values())
            yield f"5xx of {prefix}", sum(number for status, number in traffic.requests.items() if status >= 500)
            yield f"errors of {prefix}", sum(traffic.errors.values())


def _cut(key: str, value: object) -> object:
    return value[: _LONGEST.get(key, _SHORT)] if isinstance(value, str) else value
