"""Templates that ops people bring: they replace ours, and a broken one stops the start with a sentence."""

import base64
import hashlib
import re
from pathlib import Path

import pytest

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.pages import Action, Page, Pages


def problems_with(folder: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        Pages(name="Harbour Review", templates=folder)
    return raised.value.problems


def failed(pages: Pages) -> Page:
    return pages.error(
        status=502, title="Down & out", sentence="Sorry.", action=Action("Again", "/x"), request_id="4f1c"
    )


def allows_its_styles(page: Page) -> bool:
    styles = re.findall(rb"<style[^>]*>(.*?)</style>", page.body, re.DOTALL)
    hashes = {f"'sha256-{base64.b64encode(hashlib.sha256(style).digest()).decode()}'" for style in styles}
    [allowed] = re.findall(r"style-src ([^;]*)", dict(page.headers)["Content-Security-Policy"])
    return set(allowed.split()) == (hashes or {"'none'"})


def test_a_template_in_the_folder_replaces_ours_and_the_others_stay(tmp_path: Path) -> None:
    (tmp_path / "error.html").write_text("<title>{{ site }}</title><p>{{ title }} {{ request_id }}")
    pages = Pages(name="Harbour Review", templates=tmp_path)
    page = failed(pages)
    assert page.body == b"<title>Harbour Review</title><p>Down &amp; out 4f1c"
    assert allows_its_styles(page)
    assert b"Sign in with Frame.io" in pages.sign_in(start_url="/x").body


def test_an_own_base_dresses_every_page_and_may_build_on_ours(tmp_path: Path) -> None:
    (tmp_path / "base.html").write_text(
        "{% extends 'ours/base.html' %}\r\n"
        "{% block style %}{{ super() }}\r\nmain { border-radius: 0 } /* ü */{% endblock %}",
        newline="",
    )
    pages = Pages(name="Harbour Review", templates=tmp_path)
    for page in (pages.sign_in(start_url="/x"), pages.signed_out(start_url="/x"), failed(pages)):
        assert "main { border-radius: 0 } /* ü */" in page.body.decode()
        assert b"\r" not in page.body, "a browser hashes a style with its line breaks normalised"
        assert allows_its_styles(page)


def test_every_style_of_an_own_template_is_let_in(tmp_path: Path) -> None:
    (tmp_path / "error.html").write_text(
        "<style>p { margin: 0 }</style><style media=print>\nb > i { color: red }\n</style>"
        "{% if action %}<style>u { color: blue }</style>{% endif %}"
    )
    pages = Pages(name="x", templates=tmp_path)
    with_action = failed(pages)
    without = pages.error(status=500, title="T", sentence="S", action=None, request_id="r")
    assert allows_its_styles(with_action)
    assert with_action.headers == without.headers
    assert pages.sign_in(start_url="/x").headers != without.headers


def test_own_templates_may_include_files_of_their_own_and_inline_images(tmp_path: Path) -> None:
    (tmp_path / "logo.svg").write_text("<svg><path d='M0 0'/></svg>")
    (tmp_path / "sign_in.html").write_text("{% include 'logo.svg' %}<img src='data:image/png;base64,AA=='>")
    assert b"<svg>" in Pages(name="x", templates=tmp_path).sign_in(start_url="/x").body


def test_an_edit_counts_after_a_restart_only(tmp_path: Path) -> None:
    template = tmp_path / "sign_in.html"
    template.write_text("before")
    pages = Pages(name="x", templates=tmp_path)
    template.write_text("{{ broken")
    assert pages.sign_in(start_url="/x").body == b"before"
    assert problems_with(tmp_path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<p>\n{% if %}", "error.html:2: Expected an expression, got 'end of statement block'"),
        ("<p>\n{% if action %}\n", "error.html:2: Unexpected end of template"),
        ("\n\n{{ reqest_id }}", "error.html:3: 'reqest_id' is undefined"),
        ("{{ action.url }}", "error.html:1: 'None' has no attribute 'url'"),
        ("{{ title|shout }}", "error.html:1: No filter named 'shout'."),
        ("\n{{ 1 / 0 }}", "error.html:2: division by zero"),
        ("\n{{ status + title }}", "error.html:2: unsupported operand type(s) for +: 'int' and 'str'"),
        ("{% include 'error.html' %}", "error.html:1: maximum recursion depth exceeded"),
        ("{% extends 'gone.html' %}", "error.html:1: there is no template gone.html"),
    ],
)
def test_a_template_that_cannot_be_rendered_stops_the_start(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "error.html").write_text(text)
    [told] = problems_with(tmp_path)
    assert told.startswith(f"{tmp_path}/{problem}")
    assert "\n" not in told


def test_a_template_too_deep_to_be_compiled_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "error.html").write_text("{{ " + "(" * 5000 + " }}")
    [told] = problems_with(tmp_path)
    assert told.startswith("error.html: maximum recursion depth exceeded")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{{ title|safe }}", "without escaping"),
        ("{% autoescape false %}{{ sentence }}{% endautoescape %}", "without escaping"),
        ("<title>{{ title|safe }}</title>", "without escaping"),
        ("<!-- {{ title|safe }} -->", "without escaping"),
        ('<p title="{{ title|safe }}">', "without escaping"),
        ("<p title={{ title }}>", "without escaping"),
        ("<style>p::after { content: '{{ title }}' }</style>", "writes a value into a <style>"),
        ("<script>1</script>", "has a <script>"),
        ("<form action=/x></form>", "has a <form>"),
        ("<p onclick=x>", "has the attribute onclick"),
        ("<p style='color: red'>", "has the attribute style"),
        ("<img src=https://cdn.example/logo.png>", "loads 'https://cdn.example/logo.png'"),
        ("<link rel=stylesheet href=/site.css>", "loads '/site.css'"),
    ],
)
def test_a_template_that_would_be_unsafe_or_not_work_stops_the_start(
    tmp_path: Path, text: str, problem: str
) -> None:
    (tmp_path / "error.html").write_text(text)
    told = problems_with(tmp_path)
    assert told[0].startswith("error.html: the page ")
    assert problem in told[0]
    assert len(told) == 1


def test_every_broken_template_is_told_at_once_and_a_shared_cause_once(tmp_path: Path) -> None:
    (tmp_path / "base.html").write_text("{{ one }}")
    (tmp_path / "error.html").write_text("{{ two }}")
    assert problems_with(tmp_path) == [
        f"{tmp_path}/base.html:1: 'one' is undefined",
        f"{tmp_path}/error.html:1: 'two' is undefined",
    ]


def test_templates_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "base.html").write_bytes("Anmeldung für alle".encode("latin-1"))
    (tmp_path / "error.html").mkdir()
    assert problems_with(tmp_path) == [
        f"{tmp_path}/base.html: not UTF-8: invalid start byte at byte 11",
        f"{tmp_path}/error.html: Is a directory",
    ]


def test_a_folder_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    missing = tmp_path / "gone"
    assert problems_with(missing) == [f"{missing}: there is no such folder of page templates"]
