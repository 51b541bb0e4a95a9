"""What a service worker fetches for a window is told from what a page's script asks for."""

import json
from urllib.parse import quote

import pytest

from oauth_proxy.errors import AttemptUnknown
from tests.support.browser import NAVIGATION, Visitor
from tests.support.login import COOKIE
from tests.support.proxy import PROGRAM, Stage

OWN = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors"}
ANYTHING = {"Accept": "*/*", **OWN}
PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Upgrade-Insecure-Requests": "1", **OWN}


def lines(fields: dict[str, str]) -> list[str]:
    return [f"{name}: {value}" for name, value in fields.items()]


def of(stage: Stage, path: str) -> dict[str, str]:
    return {"Referer": stage.url + path}


@pytest.mark.parametrize(
    "script", ["/sw.js", "/sw.js?v=3", "/a/worker.mjs", "/sw", "/service-worker", "/x/ServiceWorker"]
)
async def test_what_a_worker_asks_by_its_url_is_a_page_for_a_window_and_json_for_a_script(
    stage: Stage, script: str
) -> None:
    answer = await stage.ask("/reel?shot=12", *lines(ANYTHING | of(stage, script)))
    assert answer.status == 401
    assert answer.get("Content-Type") == "text/html; charset=utf-8"
    assert (answer.get("X-OAuth-Proxy"), answer.get("Cache-Control")) == ("answer", "no-store")
    content = json.loads(answer.body)
    assert content["error"] == "sign_in_required"
    assert content["login_url"] == f"{stage.url}/oauth2/start?rd={quote(stage.url + '/', safe='')}"
    back = f"{stage.url}/oauth2/start?rd={quote(stage.url + '/reel?shot=12', safe='')}"
    assert f"href='{back}'" in content["page"]


@pytest.mark.parametrize(
    "fields",
    [
        ANYTHING | {"Referer": "PAGE"},
        PROGRAM | {"Referer": "WORKER"},
        ANYTHING | {"Referer": "WORKER", "X-Requested-With": "XMLHttpRequest"},
        ANYTHING | {"Referer": "WORKER", "Sec-Fetch-Site": "cross-site"},
        ANYTHING | {"Referer": "WORKER", "Sec-Fetch-Dest": "image"},
        ANYTHING | {"Referer": "WORKER", "Sec-Fetch-Mode": "no-cors"},
        {"Accept": "*/*"},
    ],
    ids=["a page's fetch", "wants JSON", "XMLHttpRequest", "another site", "an image", "no CORS", "curl"],
)
async def test_a_page_s_script_and_a_program_get_json_as_ever(stage: Stage, fields: dict[str, str]) -> None:
    at = {"PAGE": f"{stage.url}/board?a=b", "WORKER": f"{stage.url}/sw.js"}
    sent = lines({name: at.get(value, value) for name, value in fields.items()})
    answer = await stage.ask("/api", *sent)
    assert (answer.status, answer.get("Content-Type")) == (401, "application/json; charset=utf-8")
    started = await stage.ask(
        "/oauth2/start?rd=/", *lines({name: at.get(value, value) for name, value in fields.items()})
    )
    assert started.status == 401
    assert not started.all("Set-Cookie")


@pytest.mark.parametrize(
    "fields", [PAGE, PAGE | {"Sec-Fetch-Mode": "same-origin"}, NAVIGATION | {"Sec-Fetch-Dest": "empty"}, ANYTHING]
)
async def test_a_worker_gets_pages_where_others_are_redirected_and_a_login_ends_in_a_session(
    stage: Stage, visitor: Visitor, fields: dict[str, str]
) -> None:
    started = await stage.ask("/oauth2/start?rd=/echo?a=b%23c", *lines(fields))
    assert (started.status, started.get("Location")) == (300, None)
    to = json.loads(started.body)["location"]
    assert to.startswith(f"{stage.frameio_url}/oauth2/auth?")
    page = await visitor.follow(to)
    await visitor.press(page, "Editor")
    callback = (await visitor.press(await visitor.get(page.url), "Allow")).headers["Location"]
    attempt = started.all("Set-Cookie")[0].partition(";")[0]
    landed = await stage.ask(callback.removeprefix(stage.url), f"Cookie: {attempt}", *lines(fields))
    assert landed.status == 300
    assert json.loads(landed.body)["location"] == f"{stage.url}/echo?a=b#c"
    assert [line for line in landed.all("Set-Cookie") if line.startswith(f"{COOKIE}=")]


async def test_a_failure_that_comes_by_a_worker_can_be_read_by_people_and_scripts(stage: Stage) -> None:
    answer = await stage.ask("/oauth2/callback?state=forged&code=c", *lines(ANYTHING | of(stage, "/sw.js")))
    assert answer.status == 403
    content = json.loads(answer.body)
    assert content["error"] == "attempt_unknown"
    assert f"<h1>{AttemptUnknown.title}</h1>" in content["page"]
    assert "<script>" not in content["page"]


async def test_a_browser_that_looks_for_a_newer_worker_does_not_end_the_count_of_logins_in_a_row(
    stage: Stage, visitor: Visitor
) -> None:
    """Firefox looks at each navigation, also where the worker shows an old page that leads to the login again."""
    await visitor.login(f"{stage.url}/oauth2/start?rd=/oauth2/sign_in")  # nothing of the tool is asked for
    cookie = visitor.cookie_line(stage.url)
    assert f"{COOKIE}-tries=1" in cookie
    looking = await stage.ask("/sw.js", cookie, "Service-Worker: script", "Sec-Fetch-Dest: serviceworker")
    assert not looking.all("Set-Cookie")
    shown = await stage.ask("/reel", cookie, "Sec-Fetch-Dest: document")
    assert [line for line in shown.all("Set-Cookie") if line.startswith(f"{COOKIE}-tries=;")]
