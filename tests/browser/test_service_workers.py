"""Whatever a tool's service worker makes of navigations, its visitors come to the login, and back."""

import pytest
from playwright.async_api import Browser

from oauth_proxy.session.attempts import MOST_SIGNED_IN
from tests.support.chromium import press, see
from tests.support.workers import WEEK_AND_A_DAY, at_worker, comes_to_the_login_and_back

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

KEEPS_ALL = """onfetch = event => event.respondWith((async () => {
    const cache = await caches.open("all");
    const kept = await cache.match(event.request.url);
    if (kept) return kept;
    const answer = await fetch(event.request.url);
    await cache.put(event.request.url, answer.clone());
    return answer;
})());"""

WORKERS = {
    "as it is": "onfetch = event => event.respondWith(fetch(event.request));",
    "with a cache mode": 'onfetch = event => event.respondWith(fetch(event.request, {cache: "no-store"}));',
    "by its URL": "onfetch = event => event.respondWith(fetch(event.request.url));",
    "with its headers": """onfetch = event => event.respondWith(
        fetch(new Request(event.request.url, {headers: event.request.headers, credentials: "include"})));""",
    "network first": """onfetch = event => event.respondWith((async () => {
        const cache = await caches.open("pages");
        try {
            const answer = await fetch(event.request.url);
            if (answer.ok) await cache.put(event.request.url, answer.clone());
            return answer;
        } catch {
            return cache.match(event.request.url);
        }
    })());""",
}
FETCH = """async () => {
    const answer = await fetch("/api/shots");
    return [answer.status, answer.headers.get("X-OAuth-Proxy"), await answer.json()];
}"""


@pytest.mark.parametrize("worker", WORKERS.values(), ids=WORKERS)
async def test_whatever_a_worker_makes_of_a_navigation_it_ends_at_the_login_and_after_it_where_it_led(
    chromium: Browser, worker: str
) -> None:
    async with at_worker(chromium, worker) as (stage, somebody, page):
        stage.clock.advance(WEEK_AND_A_DAY)  # the session runs out
        status, mark, answer = await page.evaluate(FETCH)
        assert (status, mark, answer["error"]) == (401, "answer", "sign_in_required")
        assert answer["login_url"].startswith(f"{stage.url}/oauth2/start?rd=")
        await comes_to_the_login_and_back(stage, page, known=True)
        await somebody.context.clear_cookies()  # a stranger to both
        await comes_to_the_login_and_back(stage, page, known=False)
        somebody.complaints.clear()  # about answers of 401 and 300


async def test_after_a_sign_out_a_worker_that_withholds_its_referer_comes_to_the_login_too(
    chromium: Browser,
) -> None:
    async with at_worker(chromium, WORKERS["by its URL"], policy="no-referrer") as (stage, somebody, page):
        await page.goto(f"{stage.url}/oauth2/sign_out")
        await see(page, "You are signed out")
        await comes_to_the_login_and_back(stage, page, known=True)
        somebody.complaints.clear()


async def test_a_worker_that_keeps_our_page_for_ever_ends_in_a_sentence_and_signs_nobody_out(
    chromium: Browser,
) -> None:
    async with at_worker(chromium, KEEPS_ALL) as (stage, somebody, page):
        stage.clock.advance(WEEK_AND_A_DAY)
        await page.goto(f"{stage.url}/reel", wait_until="commit")
        for _ in range(MOST_SIGNED_IN):  # an emulated Frame.io asks each time; the true one need not
            await press(page, "Allow")
        await see(page, "You are signed in, and your browser shows an old page")
        answer = await somebody.context.request.get(f"{stage.url}/oauth2/userinfo")
        assert answer.status == 200
        somebody.complaints.clear()
