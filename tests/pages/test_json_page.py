"""The body that is JSON for a script and a page for a window, with hostile texts in either."""

import json
from html.parser import HTMLParser

import pytest

from oauth_proxy.pages import Pages
from oauth_proxy.pages.json_page import GO_ON, LEAVE
from oauth_proxy.pages.words import Action
from tests.pages.test_pages import HOSTILE

URL = "https://review.example.com/oauth2/start?rd=https%3A%2F%2Freview.example.com%2F&a='\""
MARKUP = ["-->", "--!>", "<!--", "</script>", "\\", '\\"', "\n", "\\u003e", "'", '"']


class Window(HTMLParser):
    """What a window makes of it."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(body.decode() + "-->")  # browsers end a comment with the file (HTML 13.2.5.43)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def body(text: str = "Text", url: str = URL, script: str = LEAVE, **content: object) -> bytes:
    pages = Pages(name="Harbour Review")
    made = pages.json_page(
        status=401, title=text, sentence=text, action=Action(text, url), content=content, script=script
    )
    return made.body


@pytest.mark.parametrize("text", [*HOSTILE, *MARKUP])
def test_hostile_text_leaves_it_valid_json_and_adds_no_element(text: str) -> None:
    kind, hostile = Window(body()), Window(body(text, error=text, login_url=text))
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in kind.elements]
    assert " ".join(text.split()) in hostile.text
    read = json.loads(body(text, error=text, login_url=text))
    assert (read["error"], read["login_url"]) == (text, text)


@pytest.mark.parametrize("script", [LEAVE, GO_ON, ""])
def test_a_window_shows_its_text_and_nothing_of_the_json(script: str) -> None:
    window = Window(body(script=script, error="sign_in_required"))
    assert "sign_in_required" not in window.text
    (link,) = [attrs for tag, attrs in window.elements if tag == "a"]
    assert link == {"id": "way", "href": URL}
    assert [tag for tag, _ in window.elements].count("script") == bool(script)
    assert '"page"' not in json.loads(body(script=script))["page"]


def test_a_backslash_in_an_address_is_one_for_a_window() -> None:
    (link,) = [a for tag, a in Window(body(url="https://review.example.com/#%5C")).elements if tag == "a"]
    assert link["href"] == "https://review.example.com/#%5C"


def test_the_scripts_have_nothing_that_json_or_html_would_change() -> None:
    for script in (LEAVE, GO_ON):
        assert json.dumps(script, ensure_ascii=False) == f'"{script}"'
        assert "<!--" not in script
        assert "</" not in script


def test_it_is_said_in_the_readers_language() -> None:
    pages = Pages(name="Harbour Review").for_reader([b"de"])
    made = pages.json_page(status=401, title="Please sign in", sentence="", action=None, content={})
    assert "Bitte melden Sie sich an" in made.body.decode()
    assert dict(made.headers)["Content-Language"] == "de"
