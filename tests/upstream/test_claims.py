"""What a tool's answer may not say, however it is written."""

import pytest

from oauth_proxy.upstream.claims import for_one_visitor
from oauth_proxy.upstream.head import read
from tests.support.tool import CLAIMS


def settled(*lines: str, with_cookies: bool) -> list[str]:
    """The lines that are left of these."""
    head = read("\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode("latin-1"))
    CLAIMS.strike(head)
    if with_cookies:
        for_one_visitor(head)
    return [line.decode("latin-1") for line in head.lines]


@pytest.mark.parametrize(
    ("lines", "merged"),
    [
        ([], "private"),
        (["Cache-Control: public"], "private"),
        (["Cache-Control: Public, Max-Age=60"], "max-age=60, private"),
        (["Cache-Control: public,s-maxage=60,max-age=5,stale-if-error=9"], "max-age=5, stale-if-error=9, private"),
        (["Cache-Control: no-store"], "no-store, private"),
        (["cache-control: no-cache", "CACHE-CONTROL: s-maxage = 60 , immutable"], "no-cache, immutable, private"),
        (["Cache-Control: private"], "private"),
        (['Cache-Control: private="set-cookie, x-a", max-age=60'], "max-age=60, private"),
        (['Cache-Control: no-cache="set-cookie"'], "no-cache, private"),
        (['Cache-Control: ext="a, public, no-store'], "ext, private"),
        (["Cache-Control: ,, ,"], "private"),
        (["Cache-Control:"], "private"),
        (["Cache-Control: s-maxage=0, no-transform"], "no-transform, private"),
        (["Surrogate-Control: max-age=60", "CDN-Cache-Control: max-age=60", "X-Accel-Expires: 60"], "private"),
        (
            ["Cloudflare-CDN-Cache-Control: max-age=60", "Vercel-CDN-Cache-Control: x", "Edge-Control: x"],
            "private",
        ),
    ],
)
def test_with_a_cookie_of_ours_an_answer_is_private_and_otherwise_as_the_tool_says(
    lines: list[str], merged: str
) -> None:
    kept = ["ETag: 1", "Expires: Thu, 01 Jan 2099 00:00:00 GMT", "Pragma: no-cache", "Vary: Accept"]
    assert settled(*kept, *lines, with_cookies=True) == [*kept, f"Cache-Control: {merged}"]
    assert settled(*kept, *lines, with_cookies=False) == [*kept, *lines]


OURS = [
    "Set-Cookie: oauth_proxy=1.x",
    "set-cookie: oauth_proxy=",
    "SET-COOKIE: oauth_proxy",
    "Set-Cookie:oauth_proxy=x; Path=/",
    "Set-Cookie: __Host-oauth_proxy=1.x; Secure; Path=/",
    "Set-Cookie: __Secure-oauth_proxy=x",
    "Set-Cookie: oauth_proxy-1=x",
    "Set-Cookie: __Host-oauth_proxy-12=x",
    "Set-Cookie: oauth_proxy-login-abc=x",
    "Set-Cookie: oauth_proxy-tries=x",
    "Set-Cookie: \toauth_proxy \t= x",
    "Set-Cookie: =oauth_proxy=x",
    "Set-Cookie: = =oauth_proxy=x",
    "Set-Cookie: oauth_proxy;x",
    "X-OAuth-Proxy: answer",
    "x-oauth-proxy:",
    "X-OAUTH-PROXY: anything",
]
THEIRS = [
    "Set-Cookie: oauth_proxyish=1",
    "Set-Cookie: my_oauth_proxy=1",
    "Set-Cookie: a=oauth_proxy=1",
    "Set-Cookie: a=b; Path=/oauth_proxy",
    "Set-Cookie: a=b; oauth_proxy=1",
    "Set-Cookie: OAUTH_PROXY=1",
    "X-OAuth-Proxy-Version: 1",
    "X-Set-Cookie: oauth_proxy=1",
    "X-About: set-cookie oauth_proxy x-oauth-proxy",
]


def test_a_tool_sets_no_cookie_of_our_family_and_not_our_mark() -> None:
    for line in OURS:
        assert settled("A: 1", line, "B: 2", line, with_cookies=False) == ["A: 1", "B: 2"], line
    assert settled(*THEIRS, with_cookies=False) == THEIRS
    assert settled(*THEIRS, *OURS, with_cookies=True) == [*THEIRS, "Cache-Control: private"]
