"""Is it well? One line for each thing that may not be, with what there is to know about it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from oauth_proxy.recent import STEP
from oauth_proxy.settings import Settings
from oauth_proxy.status.numbers import Numbers
from oauth_proxy.status.plots import Counts, total
from oauth_proxy.status.words import lasting, several
from oauth_proxy.telemetry import CALLS

State = Literal["good", "watch", "bad"]

_LATELY = int(300 / STEP)
"""Steps by which a tool is judged."""
_MANY = 0.05
"""The share of a tool's requests that may fail."""
_NO_TROUBLE = ("login signed_in", "login begun_anew", "login consent_refused")
_FULL = 0.8
"""How much of a limit may be used."""
_DAYS = 14
"""Days that a certificate should have left."""


@dataclass(frozen=True, slots=True)
class Check:
    """A thing, whether it is well, and a sentence about it."""

    name: str
    state: State
    sentence: str


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the proxy now.

    `line` is how its processes are, `levels` what they log; `full`, `store` and `audit` are troubles. `listens`
    says where it listens. For somebody who may not know that it is empty, and the tools' addresses are left out.
    """

    numbers: Numbers
    steps: Mapping[int, Counts]
    step: int
    now: float
    line: str
    levels: list[str]
    is_ready: bool
    full: str | None
    store: str | None
    audit: str | None
    listens: Mapping[str, str]


def checks(settings: Settings, known: Known) -> list[Check]:
    """Everything there is to look at, what is worst first."""
    found = [
        _processes(settings, known),
        *_reload(known),
        _connections(known),
        *_limits(known),
        *_certificates(known),
        _provider(known),
        *_logins(known),
        _store(settings, known),
        *_tools(settings, known),
        *_faults(known),
        _log(known),
        *_audit(settings, known),
    ]
    return sorted(found, key=lambda each: ("bad", "watch", "good").index(each.state))


def verdict(found: list[Check]) -> tuple[State, str]:
    """The worst state of all, and the sentence for the top of the page."""
    bad = [each.name for each in found if each.state == "bad"]
    watch = [each.name for each in found if each.state == "watch"]
    if bad:
        return "bad", f"Not well: {', '.join(bad)}"
    return ("watch", f"Have a look: {', '.join(watch)}") if watch else ("good", "All is well")


def _processes(settings: Settings, known: Known) -> Check:
    wanted, restarts = settings.worker_count, known.numbers.of("oauth_proxy_worker_restarts_total")
    serving = known.numbers.of("oauth_proxy_workers") if "oauth_proxy_workers" in known.numbers else wanted
    told = known.line
    if serving < wanted:
        told += f"; {several(wanted, 'is', 'are')} wanted"
    silent = serving - len(known.levels)
    if silent > 0:
        told += f"; {several(silent, 'worker does', 'workers do')} not reply just now"
    if restarts:
        told += f"; {several(restarts, 'worker has', 'workers have')} died since the start, see the log"
    if not known.is_ready:
        return Check("processes", "bad", f"it stops, or makes way for another: nobody new should come; {told}")
    state: State = "bad" if not serving else "watch" if serving < wanted or silent > 0 else "good"
    return Check("processes", state, told)


def _reload(known: Known) -> Iterator[Check]:
    if "oauth_proxy_last_reload_successful" not in known.numbers:
        return
    when = known.now - known.numbers.of("oauth_proxy_last_reload_success_timestamp_seconds")
    if known.numbers.of("oauth_proxy_last_reload_successful"):
        yield Check("configuration", "good", f"loaded {lasting(when)} ago")
    else:
        told = f"the last reload failed; in use is the one from {lasting(when)} ago. `oauth-proxy check` says why"
        yield Check("configuration", "bad", told)


def _connections(known: Known) -> Check:
    numbers = known.numbers
    limit, refused = (
        numbers.of("oauth_proxy_connections_limit"),
        numbers.of("oauth_proxy_connections_refused_total"),
    )
    told = f"{numbers.of('oauth_proxy_connections'):,.0f} of {several(limit, 'connection')}"
    told += f", {several(numbers.of('oauth_proxy_streams'), 'WebSocket or event stream', 'streams')}"
    if refused:
        told += f"; {several(refused, 'was', 'were')} closed at once for want of room since the start"
    where = ", ".join(f"{name} at {at}" for name, at in known.listens.items())
    return Check(
        "listeners",
        "bad" if known.full else "good",
        "; ".join(filter(None, [known.full, told, where])),
    )


def _limits(known: Known) -> Iterator[Check]:
    for limit, used in known.numbers.by("oauth_proxy_limit_used_ratio", "limit"):
        if used >= _FULL:
            told = f"{used:.0%} of what one process may have is used"
            yield Check(f"limit of {limit.replace('_', ' ')}", "watch", told)


def _certificates(known: Known) -> Iterator[Check]:
    for file, ends in known.numbers.by("oauth_proxy_certificate_expiry_timestamp_seconds", "file"):
        days = int((ends - known.now) // 86_400)
        name = f"certificate {'/'.join(Path(file).parts[-2:])}"  # many are called fullchain.pem
        if days < 0:
            yield Check(name, "bad", f"it has expired {several(-days, 'day')} ago")
        else:
            yield Check(name, "watch" if days < _DAYS else "good", f"good for {several(days, 'day')}")


def _provider(known: Known) -> Check:
    says = {"token": "logins and refreshes", "profile": "profiles"}
    away = [
        says.get(endpoint, endpoint)
        for endpoint, is_up in known.numbers.by("oauth_proxy_provider_up", "endpoint")
        if not is_up
    ]
    if away:
        told = f"away for {' and '.join(away)}: it is asked again by itself, and who is signed in goes on"
        return Check("Frame.io", "bad", told)
    lately = _calls(known, known.step - _LATELY)
    if lately["provider_refused_us"] and not lately["ok"]:
        told = "it refuses this app: are client_id, client_secret and redirect URI what it knows?"
        return Check("Frame.io", "bad", told)
    calls = _calls(known, 0)
    made, failed = calls.total(), sum(number for how, number in calls.items() if how.startswith("provider_"))
    told = f"{several(made, 'call')} and {several(failed, 'failure')} in the last 15 minutes"
    return Check("Frame.io", "watch" if failed > _MANY * made else "good", told if made else "not asked lately")


def _calls(known: Known, since: int) -> Counter[str]:
    """How calls to Frame.io ended from this step on."""
    ends: Counter[str] = Counter()
    for step, numbers in known.steps.items():
        for name, number in numbers.items():
            call, _, how = name.partition(": ")
            if step >= since and call in CALLS:
                ends[how] += int(number)
    return ends


def _logins(known: Known) -> Iterator[Check]:
    done = total(known.steps, "login signed_in")
    others = {
        name.removeprefix("login ")
        for numbers in known.steps.values()
        for name in numbers
        if name.startswith("login ") and name not in _NO_TROUBLE
    }
    if done or others:
        told = f"{several(done, 'login')} in the last 15 minutes"
        if others:
            told += f", besides those that failed: {', '.join(sorted(others))}"
        yield Check("logins", "watch" if others and not done else "good", told)


def _store(settings: Settings, known: Known) -> Check:
    store = settings.session.store
    if store == "cookie":
        return Check("store", "good", "none is set: sign-outs are forgotten at a restart")
    is_away = known.store is not None or any(
        not known.numbers.of(name)
        for name in ("oauth_proxy_redis_up", "oauth_proxy_sqlite_up")
        if name in known.numbers
    )
    if is_away:
        return Check("store", "bad", "it does not answer: sign-outs and new tokens reach no other process")
    return Check("store", "good", "it answers")


def _tools(settings: Settings, known: Known) -> Iterator[Check]:
    since = known.step - _LATELY
    numbers = known.numbers
    for prefix, each in settings.upstreams.items():
        answered = total(known.steps, f"answers of {prefix}", since)
        failed = total(known.steps, f"errors of {prefix}", since)
        fives = total(known.steps, f"5xx of {prefix}", since)
        waiting = numbers.of("oauth_proxy_upstream_waiting_requests", upstream=prefix)
        told = "not asked in the last 5 minutes"
        if answered or failed:
            told = f"{several(answered, 'answer')} and {several(failed, 'failure')} in the last 5 minutes"
            told += f", {several(fives, 'answer')} being 5xx" if fives else ""
        used = numbers.of("oauth_proxy_upstream_connections", upstream=prefix, state="in_use")
        if used:
            told += f", {several(used, 'connection')} in use"
        if waiting:
            told += f", {several(waiting, 'request waits', 'requests wait')} for one"
        if known.listens:
            told += f"; at {each.url}"
        asked, broken = answered + failed, failed + fives
        state: State = "watch" if waiting or broken > _MANY * asked else "good"
        yield Check(f"tool of {prefix}", "bad" if broken and broken == asked else state, told)


def _faults(known: Known) -> Iterator[Check]:
    if faults := total(known.steps, "faults"):
        told = f"{several(faults, 'fault')} of the proxy's own in the last 15 minutes, with a traceback in the log"
        yield Check("faults", "watch", told)


def _log(known: Known) -> Check:
    dropped = known.numbers.of("oauth_proxy_log_lines_dropped_total")
    told = f"writes {' or '.join(sorted(set(known.levels)))} and above"
    if dropped:
        told += f"; {several(dropped, 'line was', 'lines were')} dropped since the start, as nobody read it"
    return Check("log", "good", told)


def _audit(settings: Settings, known: Known) -> Iterator[Check]:
    lost = known.numbers.of("oauth_proxy_audit_lines_lost_total")
    if known.audit or lost:
        told = f"{several(lost, 'line was', 'lines were')} lost since the start, as they could not be written"
        yield Check("audit stream", "bad" if known.audit else "watch", known.audit or told)
    elif settings.log.audit is not None:
        yield Check("audit stream", "good", "all lines were written")
