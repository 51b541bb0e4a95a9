"""Dashboard and alerts, asked of Debian's Prometheus: `make prometheus` runs these."""

import asyncio
import json
import shutil
import subprocess
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.support.browser import Visitor
from tests.support.metrics import exposed
from tests.support.monitoring import ALERTS, alerts, expressions
from tests.support.places import ROOT
from tests.support.processes import Proxies, processes
from tests.support.proxy import free_port
from tests.support.sessions import signed_in
from tests.support.units import PATIENCE
from tests.test_readme import OPERATING, blocks

pytestmark = [
    pytest.mark.prometheus,
    pytest.mark.skipif(not (shutil.which("prometheus") and shutil.which("promtool")), reason="no prometheus here"),
]
GROWS = "0+{}x60"
"""A counter that grows by so much a minute."""
FIRES: dict[str, dict[str, str]] = {
    "OAuthProxyDown": {"up": "0x60"},
    "OAuthProxyWorkersDie": {"oauth_proxy_worker_restarts_total": GROWS.format(1)},
    "OAuthProxyReloadFailed": {"oauth_proxy_last_reload_successful": "0x60"},
    "OAuthProxyFaults": {'oauth_proxy_refusals_total{reason="fault"}': "0x50 1x10"},
    "OAuthProxyToolDown": {
        'oauth_proxy_upstream_errors_total{upstream="/",kind="unreachable"}': GROWS.format(5),
        'oauth_proxy_upstream_requests_total{upstream="/",code="200"}': "9x60",
    },
    "OAuthProxyToolFails": {
        'oauth_proxy_upstream_errors_total{upstream="/",kind="timeout"}': GROWS.format(10),
        'oauth_proxy_upstream_requests_total{upstream="/",code="200"}': GROWS.format(100),
    },
    "OAuthProxyToolSlow": {
        'oauth_proxy_upstream_response_start_seconds_bucket{upstream="/",le="5.0"}': GROWS.format(1),
        'oauth_proxy_upstream_response_start_seconds_bucket{upstream="/",le="10.0"}': GROWS.format(5),
        'oauth_proxy_upstream_response_start_seconds_bucket{upstream="/",le="+Inf"}': GROWS.format(5),
    },
    "OAuthProxyToolQueue": {'oauth_proxy_upstream_waiting_requests{upstream="/"}': "3x60"},
    "OAuthProxyFrameioAway": {'oauth_proxy_provider_up{endpoint="token"}': "0x60"},
    "OAuthProxyFrameioSlow": {
        'oauth_proxy_provider_call_duration_seconds_bucket{call="refresh",le="2.5"}': GROWS.format(1),
        'oauth_proxy_provider_call_duration_seconds_bucket{call="refresh",le="5.0"}': GROWS.format(5),
        'oauth_proxy_provider_call_duration_seconds_bucket{call="refresh",le="+Inf"}': GROWS.format(5),
    },
    "OAuthProxyRefusedByFrameio": {
        'oauth_proxy_provider_calls_total{call="exchange",result="provider_refused_us"}': "0x50 1x10"
    },
    "OAuthProxyLoginsFail": {
        'oauth_proxy_logins_total{result="login_loop"}': GROWS.format(2),
        'oauth_proxy_logins_total{result="signed_in"}': GROWS.format(1),
    },
    "OAuthProxyLoginsDoNotComeBack": {
        "oauth_proxy_logins_started_total": GROWS.format(1),
        **{f'oauth_proxy_logins_total{{result="{each}"}}': "5x60" for each in ("login_loop", "consent_refused")},
        'oauth_proxy_logins_total{result="signed_in"}': "5x60",
    },
    "OAuthProxyRefreshesFail": {
        'oauth_proxy_refreshes_total{result="failed"}': GROWS.format(2),
        'oauth_proxy_refreshes_total{result="done"}': GROWS.format(1),
    },
    "OAuthProxySessionsEnded": {
        'oauth_proxy_refreshes_total{result="ended"}': GROWS.format(2),
        'oauth_proxy_refreshes_total{result="done"}': GROWS.format(1),
    },
    "OAuthProxyStoreDown": {"oauth_proxy_redis_up": "0x60"},
    "OAuthProxyAuditLost": {"oauth_proxy_audit_lines_lost_total": "0x55 1x5"},
    "OAuthProxyNearLimit": {'oauth_proxy_limit_used_ratio{limit="descriptors"}': "0.9x60"},
    "OAuthProxyConnectionsRefused": {"oauth_proxy_connections_refused_total": "0x58 1x2"},
    "OAuthProxyCertificateEnds": {'oauth_proxy_certificate_expiry_timestamp_seconds{file="a"}': "900000x60"},
    "OAuthProxyTokensGuessed": {
        'oauth_proxy_refusals_total{reason="too_many_wrong_tokens"}': GROWS.format(3),
    },
}
"""For each alert, series of an hour after which it fires, one number a minute."""
WELL = {
    "up": "1x60",
    "oauth_proxy_worker_restarts_total": "3x60",
    "oauth_proxy_last_reload_successful": "1x60",
    "oauth_proxy_redis_up": "1x60",
    "oauth_proxy_audit_lines_lost_total": "5x60",
    'oauth_proxy_certificate_expiry_timestamp_seconds{file="a"}': "9000000x60",
    "oauth_proxy_logins_started_total": GROWS.format(2),
    "oauth_proxy_connections_refused_total": "7x60",
    'oauth_proxy_refusals_total{reason="fault"}': "1x60",
    'oauth_proxy_refusals_total{reason="too_many_wrong_tokens"}': GROWS.format(1),
    'oauth_proxy_upstream_errors_total{upstream="/",kind="timeout"}': GROWS.format(1),
    'oauth_proxy_upstream_requests_total{upstream="/",code="200"}': GROWS.format(100),
    'oauth_proxy_upstream_response_start_seconds_bucket{upstream="/",le="5.0"}': GROWS.format(100),
    'oauth_proxy_upstream_response_start_seconds_bucket{upstream="/",le="+Inf"}': GROWS.format(101),
    'oauth_proxy_upstream_waiting_requests{upstream="/"}': "0x60",
    'oauth_proxy_provider_up{endpoint="token"}': "1x60",
    'oauth_proxy_provider_call_duration_seconds_bucket{call="refresh",le="2.5"}': GROWS.format(100),
    'oauth_proxy_provider_call_duration_seconds_bucket{call="refresh",le="+Inf"}': GROWS.format(101),
    'oauth_proxy_provider_calls_total{call="exchange",result="provider_refused_us"}': "1x60",
    'oauth_proxy_logins_total{result="login_loop"}': GROWS.format(1),
    'oauth_proxy_logins_total{result="consent_refused"}': GROWS.format(2),
    'oauth_proxy_logins_total{result="signed_in"}': GROWS.format(2),
    'oauth_proxy_refreshes_total{result="failed"}': GROWS.format(1),
    'oauth_proxy_refreshes_total{result="ended"}': GROWS.format(1),
    'oauth_proxy_refreshes_total{result="done"}': GROWS.format(9),
    'oauth_proxy_limit_used_ratio{limit="descriptors"}': "0.5x60",
}
"""Series of a proxy with which no more is wrong than usual."""
EMPTY_WHEN_WELL = {"Refusals", "What tools fail", "What ended early otherwise", "Store", "How long streams last"}
"""Panels that show nothing where nothing of that has happened, or no store is configured."""


def promtool(*arguments: str | Path, given: str | None = None) -> str:
    """What it prints; it must have no complaint."""
    done = subprocess.run(  # noqa: S603 Debian's
        ["promtool", *map(str, arguments)],  # noqa: S607
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def case(series: dict[str, str], names: list[str], fires: str | None) -> dict[str, Any]:
    """Of these alerts, after an hour of these series: only the one fires, or none."""
    told = []
    for each, values in series.items():
        name, _, labels = each.partition("{")
        told.append({"series": f'{name}{{job="oauth-proxy",instance="a",{labels or "}"}', "values": values})
    expected = [f'ALERTS{{alertname="{fires}"}}'] if fires else []
    query = f'count by (__name__, alertname) (ALERTS{{alertstate="firing",alertname=~"{"|".join(names)}"}})'
    samples = [{"labels": each, "value": 1} for each in expected]
    return {
        "interval": "1m",
        "input_series": told,
        "promql_expr_test": [{"expr": query, "eval_time": "59m", "exp_samples": samples}],
    }


def test_promtool_finds_nothing_wrong_with_rules_and_configuration() -> None:
    promtool("check", "rules", ALERTS)
    promtool("check", "config", ROOT / "config" / "prometheus.yaml")


def test_each_alert_fires_for_what_it_is_about_and_none_while_all_is_well(tmp_path: Path) -> None:
    names = [alert["alert"] for alert in alerts()]
    assert list(FIRES) == names
    cases = [case(WELL, names, None)]
    cases += [case(WELL | series, [name], name) for name, series in FIRES.items()]
    file = tmp_path / "alerts.test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": cases}))
    promtool("test", "rules", file)


@asynccontextmanager
async def a_prometheus(folder: Path, proxies: Proxies) -> AsyncIterator[str]:
    """Prometheus, which asks these processes every second; its URL, once it has asked three times."""
    config = yaml.safe_load((ROOT / "config" / "prometheus.yaml").read_text("utf-8"))
    [job] = config["scrape_configs"]
    job |= {"scrape_interval": "1s", "static_configs": [{"targets": [proxies.admin]}]}
    config["rule_files"] = [str(ALERTS)]
    file = folder / "prometheus.yaml"
    file.write_text(yaml.safe_dump(config))
    url = f"127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={url}",
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    try:
        async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as http:
            while True:
                try:
                    if await asked(http, f"http://{url}", 'count_over_time(up{job="oauth-proxy"}[1m]) > 2'):
                        break
                except aiohttp.ClientError:
                    pass  # it starts
                await asyncio.sleep(0.2)
        yield f"http://{url}"
    finally:
        process.terminate()
        await process.wait()


async def asked(http: aiohttp.ClientSession, url: str, expression: str) -> list[Any]:
    """The samples that Prometheus finds now."""
    async with http.get(f"{url}/api/v1/query", params={"query": expression}, raise_for_status=True) as answer:
        told = json.loads(await answer.read())
    assert told["status"] == "success", (expression, told)
    found: list[Any] = told["data"]["result"]
    return found


async def test_every_panel_finds_data_in_a_prometheus_that_asks_two_workers(
    tmp_path: Path, visitor: Visitor
) -> None:
    async with processes(tmp_path, workers=2, frameio={"access_lifetime": 3}) as proxies:
        promtool("check", "metrics", given=await exposed(f"http://{proxies.admin}"))
        async with a_prometheus(tmp_path, proxies) as url, aiohttp.ClientSession() as http:
            cookie = (await signed_in(proxies.stage, visitor)).removeprefix("Cookie: ")
            headers = {"Cookie": cookie, "Host": f"localhost:{proxies.stage.port}"}
            for _ in range(5):  # in which its token is refreshed
                async with http.get(f"{proxies.url}/echo", headers=headers) as answer:
                    assert answer.status == 200
                await asyncio.sleep(1)
            empty = {where for where, each in expressions().items() if not await asked(http, url, each)}
            for each in "".join(blocks(OPERATING, "promql")).splitlines():
                await asked(http, url, each)
            firing = await asked(http, url, 'ALERTS{alertstate="firing"}')
            async with http.get(f"{url}/api/v1/rules") as answer:
                [group] = (await answer.json())["data"]["groups"]
        assert {rule["health"] for rule in group["rules"]} <= {"ok", "unknown"}
        assert len(group["rules"]) == len(alerts())
        assert not firing
        assert {where[:-2] for where in empty - set(FIRES)} <= EMPTY_WHEN_WELL
