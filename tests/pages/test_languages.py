"""The pages in the reader's language: ours are whole, and operators may bring more."""

import re
from importlib.resources import files
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.pages import Pages
from oauth_proxy.pages.languages import DIRECTION, DOMAIN, preferred
from oauth_proxy.pages.looks import Accent, Contact, Looks
from oauth_proxy.pages.rehearsal import rehearsed
from tests import catalogues
from tests.support.browser import NAVIGATION, Visitor
from tests.support.proxy import on_stage

OURS = [tag for tag, _ in catalogues.languages()]
PARTS = {"base.html", "parts.html"}
"""Templates that are no page."""
HEADING = re.compile(rb"<h1>(.*?)</h1>")
in_each_language = pytest.mark.parametrize("tag", OURS)


def bring(folder: Path, tag: str, texts: dict[str, str]) -> None:
    """Put a compiled catalogue into a folder of page templates, as operators do."""
    catalog = Catalog(locale=tag, domain=DOMAIN)
    for text, translation in texts.items():
        catalog.add(text, translation)
    path = folder / "locales" / tag / "LC_MESSAGES" / f"{DOMAIN}.mo"
    path.parent.mkdir(parents=True)
    path.write_bytes(catalogues.as_mo(catalog))


def heading(pages: Pages, accept: str) -> str:
    page = pages.for_reader([accept.encode()]).signed_out(start_url="/x")
    [found] = HEADING.findall(page.body)
    return str(found.decode())


def test_there_are_the_languages_that_are_promised() -> None:
    assert OURS == ["de", "es", "fr", "ja"]


def test_the_texts_for_translators_are_those_of_the_pages() -> None:
    wanted = catalogues.as_po(catalogues.collected())
    assert catalogues.TEMPLATE.read_bytes() == wanted, "run make catalogues"


@in_each_language
def test_a_language_is_whole_and_compiled(tag: str) -> None:
    path = dict(catalogues.languages())[tag]
    catalog = catalogues.updated(path, tag)
    assert catalogues.missing(catalog) == []
    assert path.read_bytes() == catalogues.as_po(catalog), "run make catalogues"
    assert path.with_suffix(".mo").read_bytes() == catalogues.as_mo(catalog), "run make catalogues"


@in_each_language
def test_a_translation_is_filled_with_the_same_values_and_is_no_markup(tag: str) -> None:
    for message in catalogues.read(dict(catalogues.languages())[tag], tag):
        if message.id:
            values = [re.findall(r"%(?:\(\w+\)s)?", str(text)) for text in (message.id, message.string)]
            assert sorted(values[0]) == sorted(values[1]), message.id
            assert not re.search(r"[<>&]", str(message.string))


@pytest.mark.parametrize("tag", ["en", *OURS])
def test_every_form_of_every_template_of_ours_can_be_rendered_and_has_one_policy(tag: str) -> None:
    """At a start only those are rendered that operators bring."""
    looks = Looks(contact=Contact.of("https://help.example.com"), accent=Accent.of("#224488"), footer="Footer")
    pages = Pages(name="Harbour", looks=looks).for_reader([tag.encode()])
    assert pages.sign_in(start_url="/x").headers[1] == (
        "Content-Security-Policy",
        rehearsed(pages)["sign_in.html"],
    )
    ours = {each.name for each in files("oauth_proxy.pages").joinpath("templates").iterdir()}
    assert set(rehearsed(pages)) == {name for name in ours if name.endswith(".html")} - PARTS


@in_each_language
def test_every_page_is_in_the_language_and_says_so(tag: str) -> None:
    pages = Pages(name="Harbour")
    mine = pages.for_reader([tag.encode()])
    assert pages.notes == []
    for page, english in (
        (mine.sign_in(start_url="/x", leads_to="/y"), pages.sign_in(start_url="/x", leads_to="/y")),
        (mine.signed_in(email=None, name=None), pages.signed_in(email=None, name=None)),
        (mine.signed_out(start_url="/x"), pages.signed_out(start_url="/x")),
        (mine.sign_out(action="/x", stay_url="/y"), pages.sign_out(action="/x", stay_url="/y")),
    ):
        assert f'<html lang="{tag}" dir="ltr">'.encode() in page.body
        headers = dict(page.headers)
        assert headers["Content-Language"] == tag
        assert headers["Content-Security-Policy"] == dict(english.headers)["Content-Security-Policy"]
        assert HEADING.findall(page.body) != HEADING.findall(english.body)


@pytest.mark.parametrize(
    ("accept", "tag"),
    [
        ("de", "de"),
        ("de-AT", "de"),
        ("DE-at", "de"),
        ("fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", "fr"),
        ("nl, en;q=0.9, fr;q=0.8", "en"),
        ("en-GB, de;q=0.9", "en"),
        ("de;q=0.4, ja;q=0.5", "ja"),
        ("de ; q=1", "de"),
        ("de;q=0", "en"),
        ("pt-BR", "pt-BR"),
        ("pt", "en"),
        ("", "en"),
        ("*", "en"),
        ("de;q=x, fr", "fr"),
        ("de;q=nan, fr;q=0.1", "fr"),
        ("de;q=1e999, fr;q=0.1", "fr"),
        ("d\xe9;;;==,,,", "en"),
        ("x," * 5000 + "de", "en"),
        ("de" + "-x" * 5000, "de"),
    ],
)
def test_a_reader_gets_the_language_that_they_want_most(accept: str, tag: str) -> None:
    assert preferred([accept.encode("latin-1")], ["de", "es", "fr", "ja", "pt-BR"]) == tag


def test_several_fields_are_one_list() -> None:
    assert preferred([b"nl", b"fr"], OURS) == "fr"


async def test_a_visitor_reads_a_failure_in_their_language_and_a_program_in_english(visitor: Visitor) -> None:
    async with on_stage(upstreams={"/": "http://127.0.0.1:1"}, access={"public": ["/*"]}) as stage:
        german = {**NAVIGATION, "Accept-Language": "de-DE,de;q=0.9"}
        async with visitor.session.get(f"{stage.url}/", headers=german) as answer:
            page = await answer.text()
            assert answer.headers["Content-Language"] == "de"
        assert "<h1>Das Programm antwortet nicht</h1>" in page
        assert "Noch einmal versuchen" in page
        program = {"Accept": "application/json", "Accept-Language": "de"}
        async with visitor.session.get(f"{stage.url}/", headers=program) as answer:
            assert (await answer.json())["message"].startswith("You are signed in, but the tool")
        async with visitor.session.get(f"{stage.url}/oauth2/sign_in", headers=german) as answer:
            assert "Mit Frame.io anmelden" in await answer.text()


def test_operators_may_bring_a_language_that_is_written_from_right_to_left(tmp_path: Path) -> None:
    bring(tmp_path, "ar", {"You are signed out": "تم تسجيل خروجك", DIRECTION: "default:RTL"})
    pages = Pages(name="Harbour", templates=tmp_path)
    page = pages.for_reader([b"ar-EG"]).signed_out(start_url="/x")
    assert b'<html lang="ar" dir="rtl">' in page.body
    assert heading(pages, "ar") == "تم تسجيل خروجك"
    assert "Your session has ended." in page.body.decode()
    [note] = pages.notes
    assert re.fullmatch(r"the language ar lacks \d+ texts: they are in English. The first is .*", note)


def test_a_catalogue_of_operators_goes_before_ours_and_ours_has_the_rest(tmp_path: Path) -> None:
    bring(tmp_path, "de", {"You are signed out": "Tschüss"})
    pages = Pages(name="Harbour", templates=tmp_path)
    assert heading(pages, "de") == "Tschüss"
    assert "Ihre Sitzung ist beendet." in pages.for_reader([b"de"]).signed_out(start_url="/x").body.decode()
    assert pages.notes == []


def test_markup_in_a_translation_is_text(tmp_path: Path) -> None:
    bring(tmp_path, "de", {"You are signed out": "<script>alert(1)</script>"})
    assert heading(Pages(name="x", templates=tmp_path), "de") == "&lt;script&gt;alert(1)&lt;/script&gt;"


@pytest.mark.parametrize("content", [b"", b"not a catalogue", b"\xde\x12\x04\x95" + bytes(24)[:3]])
def test_a_file_that_is_no_catalogue_stops_the_start_with_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "locales" / "de" / "LC_MESSAGES" / f"{DOMAIN}.mo"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as raised:
        Pages(name="x", templates=tmp_path)
    assert raised.value.problems[0].startswith(f"{path}: this is no gettext catalogue: ")


def test_a_translation_with_another_value_in_it_stops_the_start(tmp_path: Path) -> None:
    bring(tmp_path, "de", {"Error %(status)s.": "Fehler %(state)s."})
    with pytest.raises(ConfigurationError):
        Pages(name="x", templates=tmp_path)
