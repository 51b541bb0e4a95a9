"""The Streamlit app of docs/tool-api.md at a real browser: its button works when the handshake's token is dead."""

import pytest
from playwright.async_api import expect

from oauth_proxy.demo.people import EDITOR
from tests.support.chromium import AtBrowser
from tests.support.examples import EXAMPLES, example
from tests.support.places import ROOT
from tests.support.proxy import free_port
from tests.support.sessions import refreshes
from tests.support.tool_api import with_tool_api, works
from tests.support.units import HOUR

STREAMLIT = ROOT / ".venv-e2e/bin/streamlit"

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


async def test_a_streamlit_button_gets_200_after_the_tokens_life_where_it_got_401(somebody: AtBrowser) -> None:
    port, listen = free_port(), f"127.0.0.1:{free_port()}"
    async with with_tool_api(tool_api={"listen": listen}, upstreams={"/": f"http://127.0.0.1:{port}"}) as stage:
        environ = {"TOOL_API": f"http://{listen}", "FRAMEIO_ME": f"{stage.frameio_url}/v2/me"}
        options = {
            "server.address": "127.0.0.1",
            "server.port": str(port),
            "server.headless": "true",
            "browser.gatherUsageStats": "false",
            "browser.serverAddress": "localhost",
        }
        command = ["run", str(EXAMPLES / "streamlit_app.py")]
        command += [each for name, value in options.items() for each in (f"--{name}", value)]
        async with example(STREAMLIT, *command, port=port, environ=environ):
            page = await somebody.arrive(f"{stage.url}/")
            [first] = stage.frameio.issued("access")
            button = page.get_by_role("button", name="Ask Frame.io")
            await button.click()
            await expect(page.get_by_text(EDITOR.email)).to_be_visible()
            stage.frameio.change_email(EDITOR, "now@studio.example.com")  # else the answer looks as before
            stage.clock.advance(HOUR)
            assert not await works(stage, first), "401: what the handshake's Authorization is worth by now"
            await button.click()
            await expect(page.get_by_text("now@studio.example.com")).to_be_visible()
            await expect(page.get_by_text("Frame.io answered 200")).to_be_visible()
            assert refreshes(stage) == 1
            await page.close()  # it would complain that the app ends
