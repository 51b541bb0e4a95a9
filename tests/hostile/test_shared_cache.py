"""nginx with a cache of its own in front, which stores what an answer lets it: never one with a cookie of ours."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.browser import Visitor
from tests.support.front_programs import nginx
from tests.support.proxy import RawAnswer, free_port
from tests.support.raw_http import TOOL_BYTES, Login, Wire, saying, wired
from tests.support.units import PATIENCE

# Set-Cookie is ignored as one reads it everywhere: else nginx stores no answer that has one.
SITE = """
proxy_cache_path cache keys_zone=shared:1m;
server {{
    listen 127.0.0.1:{port};
    location / {{
        proxy_pass http://127.0.0.1:{behind};
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Connection "";
        proxy_cache shared;
        proxy_cache_key $request_uri;
        proxy_cache_valid 200 10m;
        proxy_ignore_headers Set-Cookie;
        proxy_cache_revalidate on;
        add_header X-Cache $upstream_cache_status always;
    }}
}}
"""
SAYS = {
    "nothing": (),
    "public": ("Cache-Control: public, max-age=600",),
    "s-maxage": ("Cache-Control: s-maxage=600", "Cache-Control: max-age=0, must-revalidate"),
    "some-fields": ('Cache-Control: private="set-cookie, x-a", max-age=600',),
    "expires": ("Expires: Thu, 01 Jan 2099 00:00:00 GMT", "Last-Modified: Thu, 01 Jan 2009 00:00:00 GMT"),
    "accel": ("X-Accel-Expires: 600", "Cache-Control: public"),
    "accel-at": ("Cache-Control: private", "X-Accel-Expires: @4070908800"),
}


class Front:
    """Where visitors come to nginx."""

    def __init__(self, wire: Wire, port: int) -> None:
        self.wire = wire
        self._port = port

    async def ask(self, target: str, *lines: str) -> RawAnswer:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(self.wire.request(target, "Connection: close", *lines))
        async with asyncio.timeout(PATIENCE):
            answer = RawAnswer.read(await reader.read())
        writer.close()
        return answer


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    async with wired() as wire:
        port = free_port()
        async with nginx(SITE.format(port=port, behind=wire.stage.port), tmp_path, []):
            yield Front(wire, port)


def settled(login: Login) -> str:
    """The cookies of somebody whom no answer brings new ones."""
    session = [f"{name}={value}" for name, value in login.values.items() if name.endswith("oauth_proxy")]
    return f"Cookie: {'; '.join(session)}"


@pytest.mark.parametrize("says", SAYS)
async def test_a_shared_cache_stores_no_answer_that_brings_a_cookie_of_ours(
    front: Front, visitor: Visitor, says: str
) -> None:
    login = await front.wire.login(visitor)
    front.wire.tool.says = saying(*SAYS[says])
    answer = await front.ask(f"/{says}", login.cookie)
    assert (answer.status, answer.body) == (200, TOOL_BYTES)
    assert answer.all("Set-Cookie"), "the count of tries ends with the first request"
    for line in ([], ["Cookie: a=b"]):
        again = await front.ask(f"/{says}", *line)
        assert (again.status, again.get("X-Cache")) == (401, "MISS")


async def test_the_cache_stores_what_the_tool_lets_it_where_no_cookie_of_ours_is_brought(
    front: Front, visitor: Visitor
) -> None:
    cookie = settled(await front.wire.login(visitor))
    front.wire.tool.says = saying("Cache-Control: public, max-age=600", 'ETag: "1"')
    for status in ("MISS", "HIT"):
        answer = await front.ask("/page", cookie)
        assert (answer.status, answer.get("X-Cache"), answer.all("Set-Cookie")) == (200, status, [])
