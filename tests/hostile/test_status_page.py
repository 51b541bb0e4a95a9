"""Pages of other sites, programs that can be talked into requests, and forged forms, against the status page."""

from collections.abc import Sequence

from oauth_proxy.demo.people import EDITOR
from oauth_proxy.status.buttons import Buttons
from tests.support.browser import Visitor
from tests.support.operators import opened, pressed
from tests.support.proxy import Stage, a_secret
from tests.support.sessions import signed_in
from tests.tally import tried

FOREIGN = (
    *("evil.example", "evil.example:4181", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example."),
    *("localhost@evil.example", "evil.example#localhost", "evil.example/localhost", "[::1].evil.example", "[::2]"),
    *(
        "10.0.0.1",
        "0.0.0.0",
        "127.1",
        "2130706433",
        "localhost:4181:80",
        "localhost:x",
        "",
        "locaⅼhost",
        "localhoſt",
    ),
)
"""Names under which another site's page would reach this machine, or hide that it does (DNS rebinding)."""


OWN = ("localhost", "localhost:9999", "127.0.0.1:1", "127.8.9.1", "[::1]:4181", "LOCALHOST")
NO_PERSON: Sequence[dict[str, str]] = (
    *({"Sec_Fetch_Mode": mode} for mode in ("-", "cors", "no-cors", "same-origin", "websocket", "Navigate")),
    *({"Sec_Fetch_Dest": dest} for dest in ("-", "iframe", "frame", "embed", "object", "image", "empty")),
    {"X_Forwarded_For": "203.0.113.9"},
    {"Forwarded": "for=203.0.113.9"},
    {"Via": "1.1 front"},
    {"X_Forwarded_Proto": "https"},
    {"Connection": "close"},  # nginx, which adds nothing by default and names the listener as the host
    {"Connection": "-"},  # HAProxy, and nginx with kept connections
)
"""What programs, parts of pages and front proxies say."""
NOT_THIS_PAGE: Sequence[dict[str, str]] = (
    *(
        {"Origin": origin}
        for origin in ("-", "null", "http://evil.example", "http://localhost:3000", "http://127.0.0.1")
    ),
    *(
        {"Origin": origin}
        for origin in ("https://{at}", "http://{at}.evil.example", "HTTP://{at}", "http://{at}/")
    ),
    *({"Sec_Fetch_Site": site} for site in ("-", "cross-site", "same-site", "none")),
)
"""What a browser says of a form that another page sends."""


async def test_no_other_name_than_this_machines_opens_the_page(stage: Stage, visitor: Visitor) -> None:
    await signed_in(stage, visitor)
    for host in tried(FOREIGN):
        for path in ("/", "/people", "/settings", f"/end?user={EDITOR.id}", "/reload"):
            shown = await opened(stage.admin_url + path, Host=host)
            assert shown.status in (400, 421), host
            assert EDITOR.email not in shown.text
            assert 'name="form"' not in shown.text


async def test_this_machines_names_open_it_at_any_port_of_a_tunnel(stage: Stage, visitor: Visitor) -> None:
    await signed_in(stage, visitor)
    for host in OWN:
        assert EDITOR.email in (await opened(stage.admin_url, Host=host)).text, host
        form = (await opened(f"{stage.admin_url}/log-level?to=info", Host=host)).form
        done = await pressed(f"{stage.admin_url}/log-level", form, Host=host, Origin=f"http://{host}")
        assert done.headers["Location"] == "/?done=info"


async def test_neither_programs_nor_parts_of_pages_nor_front_proxies_get_names_or_press_buttons(
    stage: Stage, visitor: Visitor
) -> None:
    await signed_in(stage, visitor)
    form = (await opened(f"{stage.admin_url}/end?user={EDITOR.id}")).form
    for says in tried(NO_PERSON):
        for path in ("/", "/people", "/settings", f"/end?user={EDITOR.id}"):
            shown = await opened(stage.admin_url + path, **says)
            assert EDITOR.email not in shown.text, says
            assert 'name="form"' not in shown.text
        assert (await pressed(f"{stage.admin_url}/end", form, **says)).status == 403
    assert (await pressed(f"{stage.admin_url}/end", form)).status == 303


async def test_a_form_that_another_page_sends_does_nothing(stage: Stage, visitor: Visitor) -> None:
    await signed_in(stage, visitor)
    at = stage.admin_url.removeprefix("http://")
    form = (await opened(f"{stage.admin_url}/end?user={EDITOR.id}")).form
    for says in tried(NOT_THIS_PAGE):
        sent = {name: value.format(at=at) for name, value in says.items()}
        assert (await pressed(f"{stage.admin_url}/end", form, **sent)).status == 403, says
    assert EDITOR.email in (await opened(stage.admin_url)).text
    assert (await pressed(f"{stage.admin_url}/end", form)).status == 303


async def test_no_form_but_a_sealed_one_of_this_proxy_for_this_button_does_anything(
    stage: Stage, visitor: Visitor
) -> None:
    cookie = await signed_in(stage, visitor)
    url, site, wall = stage.admin_url, stage.settings.public_url, stage.clock.wall
    keys = stage.settings.session.keys
    good = (await opened(f"{url}/end?user={EDITOR.id}")).form
    forged = (
        *("", "x", good[:-1], good + "A", good[:8], good.lower(), "é", cookie.partition("=")[2], "A" * 9000),
        (await opened(f"{url}/log-level?to=error")).form,
        Buttons([a_secret().encode()[:32]], site, wall).made("end", EDITOR.id),
        Buttons(keys, "https://other.example.com", wall).made("end", EDITOR.id),
        Buttons(keys, site, lambda: wall() + 60).made("end", EDITOR.id),
        Buttons(keys, site, lambda: wall() - 700).made("end", EDITOR.id),
    )
    for form in tried(forged):
        assert (await pressed(f"{url}/end", form)).status == 403, form
    assert EDITOR.email in (await opened(url)).text
    assert (await pressed(f"{url}/end", good)).status == 303


async def test_to_open_an_address_changes_nothing(stage: Stage, visitor: Visitor) -> None:
    await signed_in(stage, visitor)
    form = (await opened(f"{stage.admin_url}/end?user={EDITOR.id}")).form
    for method in tried(("GET", "HEAD")):
        await opened(f"{stage.admin_url}/end?user={EDITOR.id}&form={form}", method=method)
    shown = await opened(f"{stage.admin_url}/?done=ended", Sec_Fetch_Site="cross-site")
    assert EDITOR.email in shown.text
    assert "have ended" not in shown.words


async def test_a_storm_of_one_stranger_leaves_the_others_refusals_on_the_page(stage: Stage) -> None:
    await stage.ask("/first", "Host: evil.example")
    for number in range(200):
        await stage.ask(f"/{number}", "Cookie: oauth_proxy=garbage")
    shown = await opened(stage.admin_url)
    assert "200 no session: an incomplete cookie" in shown.words
    assert "400 by proxy" in shown.words
    assert shown.words.count("401 by proxy") == 1
