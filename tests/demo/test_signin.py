"""The emulated login and consent pages: what they say, and that only their own buttons work."""

import pytest
from yarl import URL

from oauth_proxy.demo.frameio import FrameIO
from oauth_proxy.demo.people import EDITOR, GUEST, App
from tests.demo.conftest import REDIRECT, Client
from tests.support.browser import Visitor


async def test_a_stranger_sees_everybody_to_sign_in_as(client: Client) -> None:
    page = await client.visitor.get(client.question())
    assert page.headers["X-Emulated-Page"] == "login"
    html = await page.text()
    assert "Emulated Frame.io</strong> — for demonstration" in html
    for word in ("Editor", "Reviewer", "Guest", "editor@studio.example.com", "guest@elsewhere.example.org"):
        assert f">{word}<" in html


async def test_the_consent_page_names_app_scopes_and_person(client: Client) -> None:
    page = await client.visitor.press(await client.visitor.get(client.question()), "Reviewer")
    assert page.status == 303
    page = await client.visitor.get(page.url.join(URL(page.headers["Location"], encoded=True)))
    html = await page.text()
    assert page.headers["X-Emulated-Person"] == "Reviewer"
    assert "Allow Studio review?" in html
    assert "Signed in as Reviewer" in html
    for scope in client.scope.split():
        assert f"<li>{scope}</li>" in html


async def test_who_signed_in_once_is_asked_for_consent_only(client: Client) -> None:
    await client.callback("Guest")
    page = await client.visitor.get(client.question())
    assert page.headers["X-Emulated-Page"] == "consent"
    assert page.headers["X-Emulated-Person"] == "Guest"


async def test_another_account_can_be_used(client: Client) -> None:
    await client.callback("Guest")
    page = await client.visitor.press(await client.visitor.get(client.question()), "Use another account")
    page = await client.visitor.get(page.url.join(URL(page.headers["Location"], encoded=True)))
    assert page.headers["X-Emulated-Page"] == "login"
    tokens = await client.redeem(await client.code())
    me = await client.ask(f"/{client.app.api}/me", tokens.fields["access_token"])
    assert "editor@studio.example.com" in str(me.fields)


async def test_somebody_removed_is_signed_out(frameio: FrameIO, client: Client) -> None:
    await client.callback("Guest")
    frameio.remove_person(GUEST)
    page = await client.visitor.get(client.question())
    assert page.headers["X-Emulated-Page"] == "login"
    assert "Guest" not in await page.text()


async def test_names_are_escaped_in_the_pages(frameio: FrameIO, secret_app: Client) -> None:
    frameio.register(App(secret_app.app.client_id, "s", (REDIRECT,), name="<script>alert(1)</script>"))
    html = await (await secret_app.visitor.get(secret_app.question())).text()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


async def test_the_pages_load_nothing_from_elsewhere_and_cannot_be_framed(client: Client) -> None:
    page = await client.visitor.get(client.question())
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"
    html = await page.text()
    assert "src=" not in html
    assert html.count("href=") == html.count('href="data:,"') == 1


async def press_with(client: Client, **form: str) -> int:
    """The status of a button pressed with a form of one's own."""
    async with client.visitor.session.post(client.question(), data=form, allow_redirects=False) as response:
        return response.status


async def test_a_form_made_for_another_browser_is_refused(client: Client) -> None:
    async with Visitor() as other:
        html = await (await other.get(client.question())).text()
    foreign = html.partition('name="csrf" value="')[2].partition('"')[0]
    await client.visitor.get(client.question())
    for csrf in ("", "guess", foreign):
        assert await press_with(client, csrf=csrf, choice=f"person:{EDITOR.id}") == 403


@pytest.mark.parametrize("choice", ["", "allow", "sing", "person"])
async def test_an_unknown_button_and_allow_without_a_login_are_refused(client: Client, choice: str) -> None:
    html = await (await client.visitor.get(client.question())).text()
    csrf = html.partition('name="csrf" value="')[2].partition('"')[0]
    assert await press_with(client, csrf=csrf, choice=choice) == 400


async def test_a_forged_cookie_is_a_stranger(client: Client) -> None:
    forged = {"emulated_frameio": f"browser.{EDITOR.id}.0000"}
    client.visitor.cookies.update_cookies(forged, client.root)
    page = await client.visitor.get(client.question())
    assert page.headers["X-Emulated-Page"] == "login"
