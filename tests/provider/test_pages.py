"""Lists that come in pages: all of them are read, none from anywhere else, and never for ever."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from oauth_proxy.errors import ProviderNonsense
from oauth_proxy.provider import Memberships as AskedAbout
from oauth_proxy.provider.profiles import MOST_PAGES
from tests.support.provider import answering, asking

ACCOUNTS = [f"account-{number}" for number in range(MOST_PAGES + 5)]


@dataclass
class Pages:
    """An API whose accounts come one on a page; `link` writes the address of a page from where it is."""

    link: Callable[[web.Request, int], object]
    status: int = 200
    asked: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/v4/me":
            return web.json_response({"data": {"id": "x"}})
        self.asked.append(request.raw_path)
        number = int(request.query.get("after", "0"))
        following = self.link(request, number + 1) if number + 1 < len(ACCOUNTS) else None
        account = {"id": ACCOUNTS[number], "roles": ["member"]}
        status = self.status if number else 200
        return web.json_response({"data": [account], "links": {"next": following}}, status=status)

    async def standing(self) -> list[str]:
        about = AskedAbout(accounts=frozenset(ACCOUNTS))
        async with answering(self.answer) as url, asking("v4", api_url=url, about=about) as asked:
            identity = await asked.provider.profile("t", owner="o")
        return [place for place in identity.standing if not place.endswith(":member")]


LINKS: dict[str, Callable[[web.Request, int], object]] = {
    "a path": lambda request, page: f"/v4/accounts?after={page}",
    "a path with more in its query": lambda request, page: f"/v4/accounts?page_size=7&after={page}&sort=x",
    "a whole address": lambda request, page: f"{request.url.origin()}/v4/accounts?after={page}",
    "a query": lambda request, page: f"?after={page}",
}


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
async def test_all_pages_are_read_up_to_ten(link: Callable[[web.Request, int], object]) -> None:
    pages = Pages(link)
    assert await pages.standing() == [f"account:{account}" for account in ACCOUNTS[:MOST_PAGES]]
    first = "/v4/accounts?page_size=100"
    assert pages.asked == [first] + [f"{first}&after={page}" for page in range(1, MOST_PAGES)]


ELSEWHERE: dict[str, Callable[[web.Request, int], object]] = {
    "another host": lambda request, page: f"http://127.0.0.2:{request.url.port}/v4/accounts?after={page}",
    "another host without a scheme": lambda request, page: f"//localhost/v4/accounts?after={page}",
    "another port": lambda request, page: f"http://127.0.0.1:1/v4/accounts?after={page}",
    "another scheme": lambda request, page: f"https://127.0.0.1:{request.url.port}/v4/accounts?after={page}",
    "somebody else's name": lambda request, page: f"http://user@{request.host}/v4/accounts?after={page}",
    "another path": lambda request, page: f"/v4/me?after={page}",
    "a path within": lambda request, page: f"/v4/accounts/7?after={page}",
    "a path round about": lambda request, page: f"/v4/%61ccounts?after={page}",
    "no cursor": lambda request, page: "/v4/accounts",
    "two cursors": lambda request, page: f"/v4/accounts?after={page}&after=0",
    "no address": lambda request, page: "http://[",
    "no text": lambda request, page: page,
    "a loop": lambda request, page: f"/v4/accounts?after={page if page < 3 else 1}",
}


@pytest.mark.parametrize("link", ELSEWHERE.values(), ids=ELSEWHERE)
async def test_a_next_page_that_is_anywhere_else_or_was_read_before_is_nonsense(
    link: Callable[[web.Request, int], object],
) -> None:
    pages = Pages(link)
    with pytest.raises(ProviderNonsense):
        await pages.standing()
    assert len(pages.asked) <= 3
    assert {path.partition("?")[0] for path in pages.asked} == {"/v4/accounts"}


async def test_an_empty_address_is_no_next_page_as_in_the_official_sdk() -> None:
    assert await Pages(lambda request, page: "").standing() == ["account:account-0"]


async def test_a_cursor_is_sent_back_as_it_came() -> None:
    cursors = iter(["1&page_size=1", "é/+ %26"])
    seen: list[str | None] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/v4/me":
            return web.json_response({"data": {"id": "x"}})
        seen.append(request.query.get("after"))
        cursor = next(cursors, None)
        following = cursor and str(request.rel_url.with_query(after=cursor))
        return web.json_response({"data": [], "links": {"next": following}})

    about = AskedAbout(accounts=frozenset(ACCOUNTS))
    async with answering(answer) as url, asking("v4", api_url=url, about=about) as asked:
        await asked.provider.profile("t", owner="o")
    assert seen == [None, "1&page_size=1", "é/+ %26"]


async def test_a_page_that_fails_lets_nobody_in_by_the_ones_before() -> None:
    with pytest.raises(ProviderNonsense, match="418"):
        await Pages(LINKS["a path"], status=418).standing()
