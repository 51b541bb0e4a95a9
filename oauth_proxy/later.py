"""What only later requests need: it is imported and rendered soon after a start, and not by the first reader.

The law: once that is done, nothing of the package is read from the disk any more. So an upgrade of it, in place,
breaks nothing that runs.
"""

import asyncio
import logging
from collections.abc import Iterable

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.garbage import keep_all

log = logging.getLogger(__name__)

MODULES = ("oauth_proxy.pages.rehearsal", "oauthlib.oauth2", "oauth_proxy.status.page")
"""What imports Jinja2, oauthlib, and the status page: for the first page, the first login, and operators."""
AFTER = 3.0
"""Seconds from the start on in which visitors have the process for themselves."""
PAUSE = 0.05
"""Seconds for visitors between two steps, each of which takes some hundredths of a second."""


async def done(steps: Iterable[object]) -> None:
    """Take all steps, from AFTER seconds on. A step raises ConfigurationError for files that are gone already."""
    await asyncio.sleep(AFTER)
    try:
        for _ in steps:
            await asyncio.sleep(PAUSE)
    except ConfigurationError as error:
        for problem in error.problems:
            log.error("%s; restart the proxy", problem)  # noqa: TRY400 it says all
    else:
        keep_all()
        log.debug("nothing is left to be loaded")
