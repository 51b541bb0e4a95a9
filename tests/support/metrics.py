"""What /metrics says, and the names of metrics that texts hold."""

import re

import aiohttp

from oauth_proxy.process.status import Status
from tests.support.proxy import Stage

_NAME = re.compile(r"\b(?:oauth_proxy|process)_[a-z0-9_]+")


async def exposed(url: str) -> str:
    """The text of an admin listener's /metrics."""
    async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as answer:
        assert answer.status == 200
        return await answer.text()


async def metrics(url: str) -> dict[str, float]:
    """Everything that an admin listener's /metrics says, by name and labels."""
    lines = [line.rpartition(" ") for line in (await exposed(url)).splitlines() if line and line[0] != "#"]
    return {name: float(value) for name, _, value in lines}


def show_optional(stage: Stage) -> None:
    """Add the metrics that the plain configuration has no need of: of a store, and of certificates."""
    stage.proxy.metrics.show_store("redis", lambda: True)
    stage.proxy.metrics.show_certificates(lambda: {"a.pem": 1.8e9})


async def families(stage: Stage) -> set[str]:
    """The names of all metrics that there are, without `_total` and the like: a worker's and the parent's."""
    show_optional(stage)
    described = re.findall(r"^# HELP (\S+)", await exposed(stage.admin_url), re.MULTILINE)
    return {name.removesuffix("_total") for name in described} | {each[0] for each in Status().metrics()}


def named_metrics(text: str) -> set[str]:
    """Every name of a metric in a text, without `_total` and `_bucket`."""
    return {name.removesuffix("_total").removesuffix("_bucket") for name in _NAME.findall(text)}
