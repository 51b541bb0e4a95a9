"""Signing out in a real browser, as it says itself where a request comes from."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from playwright.async_api import Browser, expect

from tests.support.chromium import AtBrowser, at_browser, see
from tests.support.proxy import Stage, on_stage, serving

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@asynccontextmanager
async def signed_in(chromium: Browser) -> AsyncIterator[tuple[Stage, AtBrowser]]:
    async with on_stage() as stage, at_browser(chromium) as somebody:
        await (await somebody.arrive(f"{stage.url}/")).close()
        yield stage, somebody


def elsewhere(html: str) -> web.Application:
    """A site with one page."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=f"<!doctype html><link rel=icon href=data:,>{html}", content_type="text/html")

    application = web.Application()
    application.router.add_get("/", page)
    return application


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_another_sites_link_asks_and_the_answer_signs_out(chromium: Browser, host: str) -> None:
    """A port is another origin of the same site; an address is another site."""
    async with signed_in(chromium) as (stage, somebody):
        out = f"{stage.url}/oauth2/sign_out"
        async with serving(elsewhere(f"<a href={out}>Onward</a>")) as url:
            page = await somebody.open(url.replace("127.0.0.1", host))
            await page.get_by_role("link", name="Onward").click()
            await see(page, "Sign out?")
            assert [cookie["name"] for cookie in await somebody.context.cookies(stage.url)]
            await page.get_by_role("button", name="Sign out").click()
            await see(page, "You are signed out")
            await expect(page).to_have_url(out)
        assert "oauth_proxy" not in [cookie["name"] for cookie in await somebody.context.cookies(stage.url)]


async def test_another_sites_form_asks_too(chromium: Browser) -> None:
    async with signed_in(chromium) as (stage, somebody):
        out = f"{stage.url}/oauth2/sign_out"
        form = f"<form method=post action={out}><button>Onward</button></form>"
        async with serving(elsewhere(form)) as url:
            page = await somebody.open(url.replace("127.0.0.1", "localhost"))
            await page.get_by_role("button", name="Onward").click()
            await see(page, "Sign out?")
            await page.goto(f"{stage.url}/")
            await see(page, "Studio review")
