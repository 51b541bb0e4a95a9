"""The check of the store: whether it is there, whose records are in it, and what could make it forget them."""

import os
from collections.abc import Sequence
from functools import partial

from oauth_proxy.apart import apart
from oauth_proxy.clock import Clock
from oauth_proxy.errors import ConfigurationError
from oauth_proxy.memory import (
    NotReached,
    Survey,
    full_disk_hazard,
    home_for,
    remote_filesystem_hazard,
    surveyed,
)
from oauth_proxy.online.findings import Finding, said, well, wrong
from oauth_proxy.settings import Settings, Sqlite, Store

_ANOTHER_VERSION = (
    "Run one version everywhere. What another one has written is passed over, and goes by itself as it expires."
)
_ANOTHER_KEY = (
    "Do all proxies that use it have the same session.secret and public_url? If the secret was replaced, what was "
    "sealed with the old one is passed over, and goes by itself as it expires."
)
_AWAY = (
    "Does it run, and are host, port, user and password right? Sessions go on meanwhile, but a sign-out holds "
    "only at the process where it happened."
)


async def store_found(settings: Settings) -> Sequence[Finding]:
    """Whether the store can be used, and is used by nobody with another version or secret."""
    store = settings.session.store
    subject = f"store {store}"
    if isinstance(store, Sqlite) and (full := await apart(partial(full_disk_hazard, store.path))):
        return wrong(subject, *full)
    if isinstance(store, Sqlite) and not store.path.exists():
        return await apart(partial(_to_be_made, subject, store))
    try:
        survey = await surveyed(*await apart(partial(home_for, settings, Clock())))
    except ConfigurationError as error:
        means = f"cannot be used: {_bare(error.problems[0], store)}."
        return wrong(subject, means, "Correct that, or name another one.")
    except NotReached as error:
        return wrong(subject, f"is not reached: {said(error).rstrip('.')}.", _AWAY)
    return _told(subject, survey)


def _bare(problem: str, store: Store) -> str:
    """The problem without the names that the line begins with."""
    problem = problem.removeprefix("session.store: ")
    if isinstance(store, Sqlite):
        problem = problem.removeprefix(str(store.path)).removeprefix(" cannot be used").removeprefix(": ")
    return problem


def _to_be_made(subject: str, store: Sqlite) -> Sequence[Finding]:
    folder = store.path.resolve().parent  # where a symbolic link leads is where SQLite makes the file
    if not os.access(folder, os.W_OK | os.X_OK):
        advice = "Make the folder, for the user the proxy runs as."
        return wrong(subject, f"cannot be made: {folder} cannot be written to.", advice)
    hazard = remote_filesystem_hazard(store.path)
    return wrong(subject, *hazard) if hazard else well(subject, "is not there yet, and can be made.")


def _told(subject: str, survey: Survey) -> Sequence[Finding]:
    findings: list[Finding] = []
    all_of_it = survey.ours + survey.of_other_version + survey.of_other_secret
    if survey.of_other_version:
        means = f"has {survey.of_other_version} of {all_of_it} records by another version of the proxy."
        findings += wrong(subject, means, _ANOTHER_VERSION)
    if survey.of_other_secret:
        means = f"has {survey.of_other_secret} of {all_of_it} records by another session.secret."
        findings += wrong(subject, means, _ANOTHER_KEY)
    if survey.hazard:
        findings += wrong(subject, *survey.hazard)
    if findings:
        return findings
    held = f"{all_of_it} records were looked at: they are of this version and secret" if all_of_it else "is empty"
    return well(subject, f"can be read and written, and {held}.")
