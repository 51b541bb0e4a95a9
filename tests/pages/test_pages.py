"""The pages as a browser gets them: their structure, their words, their policy, and hostile values in them."""

import base64
import hashlib
import re
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from importlib.resources import files
from itertools import chain

import pytest

from oauth_proxy.forms import Entry, Form, Kept
from oauth_proxy.pages import Accent, Action, Contact, Looks, Page, Pages

URL = "/oauth2/start?rd=%2Freel%3Fa%3D1%26b%3D2"


class Seen(HTMLParser):
    """What a parser that is not ours makes of a page: its elements in order, and the text in each kind."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.all_text = ""
        self._open: list[str] = []
        self.feed(page.body.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "wbr", "img", "input"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, "elements are nested and closed"

    def handle_data(self, data: str) -> None:
        self.all_text += data
        for tag in self._open:
            self.texts[tag] = self.texts.get(tag, "") + data

    def every(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def shape(self) -> list[tuple[str, list[str]]]:
        return [(tag, list(attrs)) for tag, attrs in self.elements if tag != "wbr"]

    @property
    def links(self) -> list[str | None]:
        return [attrs["href"] for attrs in self.every("a")]


@cache
def site(name: str = "Harbour Review") -> Pages:
    return Pages(name=name)


def denied(email: str | None = "ann@studio.example.com", name: str | None = "Ann", url: str = URL) -> Page:
    return site().not_allowed(email=email, name=name, switch_url=url, request_id="4f1c")


def failed(
    title: str = "It broke",
    sentence: str = "Sorry.",
    label: str = "Again",
    url: str = URL,
    request_id: str = "4f1c",
) -> Page:
    return site().error(
        status=502, title=title, sentence=sentence, action=Action(label, url), request_id=request_id
    )


QUESTION = site().sign_out(action="/oauth2/sign_out", stay_url=URL)
"""The one page with a form: whether to sign out."""
LEAVING = site().leaving(start_url=URL, whole=None)
LEAVING_FAR = site().leaving(start_url=URL, whole="https://review.example.com/?a=1&b=2")
"""The pages whose script goes on to the login; the second with an address that is too long for a link."""
BESIDE = site().signed_in(email="ann@studio.example.com", name="Ann")
"""The one page with a script: the end of a login in a window beside another."""
FRAME = site().frame(login_url=URL, own_url=URL)
FRAME_END = site().frame_end(own_url=URL)


WITH_A_FILE = Form("multipart/form-data", [Entry(b"note", b"v"), Entry(b"shot", filename=b"a.png")])


def typed(
    form: Form | None = WITH_A_FILE,
    *,
    email: str | None = "ann@studio.example.com",
    name: str | None = "Ann",
    title: str = "Please sign in",
    sentence: str = "Sorry.",
    url: str = URL,
    login_url: str | None = URL,
    may_have_it: bool = False,
    request_id: str = "4f1c",
) -> Page:
    return site().typed(
        status=401,
        title=title,
        sentence=sentence,
        email=email,
        name=name,
        login_url=login_url,
        kept=Kept(form, url, may_have_it),
        request_id=request_id,
    )


def entry(name: str = "n", value: str = "v", filename: str | None = None) -> Form:
    chosen = None if filename is None else filename.encode()
    return Form("multipart/form-data", [Entry(name.encode(), value.encode(), chosen)])


EVERY_PAGE: dict[str, Callable[[], Page]] = {
    "sign_in": lambda: site().sign_in(start_url=URL),
    "sign_in, leads to": lambda: site().sign_in(start_url=URL, leads_to="/reel/7"),
    "signed_out": lambda: site().signed_out(start_url=URL),
    "signed_in": lambda: BESIDE,
    "signed_in, nameless": lambda: site().signed_in(email=None, name=None),
    "sign_out": lambda: QUESTION,
    "leaving": lambda: LEAVING,
    "leaving, far": lambda: LEAVING_FAR,
    "frame": lambda: FRAME,
    "frame_end": lambda: FRAME_END,
    "not_allowed": denied,
    "not_allowed, nameless": lambda: denied(email=None, name=None),
    "typed": typed,
    "typed, nobody signed in": lambda: typed(email=None, name=None),
    "typed, nothing to sign in for": lambda: typed(login_url=None, may_have_it=True),
    "typed, not kept": lambda: typed(None),
    "error": failed,
    "error, again": lambda: site().error(
        status=504, title="T", sentence="S", action=Action("Try again", URL, again=True), request_id="r"
    ),
    "error, no way on": lambda: site().error(status=421, title="T", sentence="S", action=None, request_id="r"),
}
PAGES = {name: make() for name, make in EVERY_PAGE.items()}
ERRORS = [page for name, page in PAGES.items() if name.startswith("error")]
AGAIN = (files("oauth_proxy.pages") / "templates" / "again.js").read_bytes().removesuffix(b"\n")
each_page = pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)


@each_page
def test_a_screen_reader_finds_its_way(page: Page) -> None:
    seen = Seen(page)
    assert page.body.startswith(b"<!doctype html>")
    assert seen.every("html") == [{"lang": "en", "dir": "ltr"}]
    assert [len(seen.every(tag)) for tag in ("header", "main", "h1", "title")] == [1, 1, 1, 1]
    assert not any(seen.every(tag) for tag in ("h2", "h3", "h4"))
    assert seen.texts["header"].strip() == "Harbour Review"
    assert seen.texts["title"].endswith(" · Harbour Review")
    assert seen.texts["h1"].strip() in seen.texts["main"]
    assert all(attrs["href"] for attrs in seen.every("a"))


@each_page
def test_a_phone_shows_the_page_at_its_own_width(page: Page) -> None:
    metas = {attrs.get("name"): attrs.get("content") for attrs in Seen(page).every("meta")}
    assert metas["viewport"] == "width=device-width, initial-scale=1"
    assert metas["color-scheme"] == "light dark"


def may_lead(page: Page) -> str:
    """Where its forms may lead. After what was typed the tool may redirect to wherever it likes."""
    if page in FORMS_OF:
        return FORMS_OF[page]
    return "*" if b"What you sent" in page.body or b"what you sent" in page.body else "'none'"


@each_page
def test_a_page_loads_nothing_and_runs_no_script_but_ours(page: Page) -> None:
    seen = Seen(page)
    has_script = (
        page in (PAGES["error, again"], LEAVING, LEAVING_FAR, BESIDE, FRAME, FRAME_END)
        or b"You can close" in page.body
    )
    assert len(seen.every("script")) == (has_script or b'id="typed"' in page.body)
    assert not {tag for tag, _ in seen.elements} & {"iframe", "object", "img", "base"}
    assert len(seen.every("form")) == (page in (QUESTION, LEAVING_FAR) or b'id="typed"' in page.body)
    names = set(chain.from_iterable(attrs for _, attrs in seen.elements))
    assert not {name for name in names if name.startswith("on")} | names & {"style", "src", "srcset"}
    assert [attrs["href"] for attrs in seen.every("link")] == ["data:,"]
    assert "url(" not in seen.texts["style"]
    assert "@import" not in seen.texts["style"]


@each_page
def test_nothing_on_a_page_moves(page: Page) -> None:
    assert not re.search(r"animation|transition|@keyframes", Seen(page).texts["style"])


FORMS_OF = {QUESTION: "'self'", LEAVING: "*", LEAVING_FAR: "*"}


@each_page
def test_the_policy_lets_in_the_style_of_the_page_and_nothing_else(page: Page) -> None:
    [style] = re.findall(rb"<style>(.*?)</style>", page.body, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style).digest()).decode()
    is_typed = may_lead(page) == "*" and page not in FORMS_OF
    of_its_template = typed() if is_typed else PAGES["error, again"] if page in ERRORS else page
    scripts = re.findall(rb"<script>(.*?)</script>", of_its_template.body, re.DOTALL)
    policy = dict(page.headers)["Content-Security-Policy"]
    assert policy.split("; ") == [
        "default-src 'none'",
        *(
            f"script-src 'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"
            for script in scripts
        ),
        f"style-src 'sha256-{digest}'",
        "img-src data:",
        "base-uri 'none'",
        f"form-action {may_lead(page)}",
        "frame-ancestors 'none'",
    ]


@each_page
def test_the_headers_keep_browsers_from_guessing_framing_and_telling(page: Page) -> None:
    headers = dict(page.headers)
    assert len(headers) == len(page.headers)
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == ("no-referrer" if may_lead(page) == "'none'" else "same-origin")


def test_each_page_has_its_status() -> None:
    statuses = [make().status for make in EVERY_PAGE.values()]
    assert statuses == [*[200] * 6, 401, 401, 200, 200, 403, 403, *[401] * 4, 502, 504, 421]


def test_a_link_to_the_address_that_failed_loads_it_anew_with_its_fragment() -> None:
    again = Seen(PAGES["error, again"])
    assert again.every("a") == [{"class": "button", "href": URL, "id": "again"}]
    assert again.texts["script"].encode() == AGAIN


def test_who_is_asked_to_sign_out_may_stay() -> None:
    assert Seen(QUESTION).links == [URL]


def test_the_sign_in_page_says_where_it_leads() -> None:
    assert Seen(PAGES["sign_in, leads to"]).texts["bdi"] == "/reel/7"


def test_people_are_not_shown_the_status_of_a_login_that_did_not_complete() -> None:
    outcome = site().error(status=403, title="T", sentence="S", action=None, request_id="r", is_outcome=True)
    assert outcome.status == 403
    assert "403" not in Seen(outcome).all_text


def test_a_line_may_end_within_a_long_address_where_a_reader_expects_it() -> None:
    page = site("review.studio.example.com").sign_in(start_url=URL)
    assert b"<p>review.<wbr>studio.<wbr>example.<wbr>com<wbr></p>" in page.body


@pytest.mark.parametrize(
    ("contact", "url"),
    [
        ("help@studio.example.com", "mailto:help@studio.example.com"),
        ("https://help.example.com/?about=review&now", "https://help.example.com/?about=review&now"),
    ],
)
@pytest.mark.parametrize("kind", ["error", "not_allowed"])
def test_who_may_be_asked_for_help_is_a_link(contact: str, url: str, kind: str) -> None:
    pages = Pages(name="Harbour", looks=Looks(contact=Contact.of(contact)))
    made = {
        "error": lambda: pages.error(status=500, title="T", sentence="S", action=None, request_id="4f1c"),
        "not_allowed": lambda: pages.not_allowed(email=None, name=None, switch_url=URL, request_id="4f1c"),
    }
    seen = Seen(made[kind]())
    assert url in seen.links
    assert f"Ask {contact} for help, and mention this request: 4f1c" in " ".join(seen.all_text.split())


def test_a_site_may_have_a_logo_a_colour_and_a_line_below_every_page() -> None:
    looks = Looks(logo="data:image/png;base64,iVBO", accent=Accent.of("#0b6e4f"), footer="Night shift: 4711")
    seen = Seen(Pages(name="Harbour", looks=looks).sign_in(start_url=URL))
    assert seen.every("img") == [{"src": "data:image/png;base64,iVBO", "alt": ""}]
    assert "--accent: #0b6e4f; --on-accent: #ffffff" in seen.texts["style"]
    assert seen.texts["footer"].strip() == "Night shift: 4711"


@pytest.mark.parametrize(
    ("colour", "text"),
    [("#000000", "#ffffff"), ("#ffff00", "#000000"), ("#757575", "#ffffff"), ("#777777", "#000000")],
)
def test_text_on_a_colour_is_black_or_white_whichever_is_easier_to_read(colour: str, text: str) -> None:
    assert Accent.of(colour) == (colour, text)


@pytest.mark.parametrize("page", ["sign_in", "signed_out", "leaving", "not_allowed", "error"])
def test_the_way_on_is_one_link_with_its_query_intact(page: str) -> None:
    assert Seen(EVERY_PAGE[page]()).links == [URL]


def test_a_stranger_without_scripts_goes_on_by_itself_or_by_a_button_that_has_the_whole_address() -> None:
    near, far = Seen(LEAVING), Seen(LEAVING_FAR)
    assert {"http-equiv": "refresh", "content": f"0;url={URL}"} in near.every("meta")
    assert far.every("form") == [{"id": "way", "method": "post", "action": URL}]
    (field,) = far.every("input")
    assert (field["name"], field["value"]) == ("rd", "https://review.example.com/?a=1&b=2")
    assert not far.every("noscript")


def test_a_failure_without_a_way_on_has_no_link() -> None:
    assert Seen(EVERY_PAGE["error, no way on"]()).links == []


def test_a_failure_says_what_happened_and_what_to_tell_the_people_who_read_the_log() -> None:
    seen = Seen(failed(title="The tool is too slow", sentence="It did not answer.", request_id="4f1c-9"))
    assert seen.texts["h1"] == "The tool is too slow"
    assert "It did not answer." in seen.texts["main"]
    assert "502" in seen.texts["main"]
    assert seen.texts["code"] == "4f1c-9"


@pytest.mark.parametrize(
    ("email", "name", "shown"),
    [
        ("ann@studio.example.com", "Ann", "Annann@studio.example.com"),
        ("ann@studio.example.com", None, "ann@studio.example.com"),
        (None, "Ann", "Ann"),
        (None, None, None),
        ("", "", None),
    ],
)
def test_whoever_is_not_allowed_reads_as_whom_they_are_signed_in(
    email: str | None, name: str | None, shown: str | None
) -> None:
    seen = Seen(denied(email=email, name=name))
    assert seen.texts.get("bdi") == shown
    assert ("You are signed in as" in seen.all_text) == (shown is not None)
    assert "None" not in seen.all_text
    assert seen.texts["code"] == "4f1c"


def test_half_a_surrogate_pair_in_a_profile_does_not_break_the_page() -> None:
    assert Seen(denied(name="Ann \ud83d")).texts["dl"].split()[5:7] == ["Ann", "?"]


HOSTILE = [
    "<script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</style><style>*{display:none}</style>",
    "</h1></main><img src=x onerror=alert(1)>",
    "--><svg/onload=alert(1)>",
    '" onmouseover="alert(1)',
    "' onmouseover='alert(1)",
    '"><iframe srcdoc="<script>alert(1)</script>">',
    "` onclick=alert(1) x=`",
    " autofocus onfocus=alert(1) ",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script>alert(1)&#60;/script>",
    "{{ 7 * 7 }}{% include 'error.html' %}",
    "%s %d %(x)s {0} {request_id}",
    "\u202e<b>\u2066'\"\x85\u2028",
    "＜script＞alert(1)＜/script＞",
]
FIELDS: dict[str, Callable[[str], Page]] = {
    "site, sign_in": lambda text: site(text).sign_in(start_url=URL),
    "site, signed_out": lambda text: site(text).signed_out(start_url=URL),
    "site, not_allowed": lambda text: site(text).not_allowed(email="e", name="n", switch_url=URL, request_id="r"),
    "site, error": lambda text: site(text).error(status=500, title="T", sentence="S", action=None, request_id="r"),
    "email": lambda text: denied(email=text),
    "email, signed_in": lambda text: site().signed_in(email=text, name="n"),
    "name, signed_in": lambda text: site().signed_in(email="e", name=text),
    "name": lambda text: denied(name=text),
    "request_id, not_allowed": lambda text: site().not_allowed(
        email=None, name=None, switch_url=URL, request_id=text
    ),
    "title": lambda text: failed(title=text),
    "sentence": lambda text: failed(sentence=text),
    "label": lambda text: failed(label=text),
    "title, typed": lambda text: typed(title=text),
    "sentence, typed": lambda text: typed(sentence=text),
    "email, typed": lambda text: typed(email=text),
    "name, typed": lambda text: typed(name=text),
    "request_id, typed": lambda text: typed(request_id=text),
    "name of a field": lambda text: typed(entry(name=text)),
    "name of a file": lambda text: typed(entry(filename=text)),
    "request_id, error": lambda text: failed(request_id=text),
}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_it_is_and_changes_no_element(field: str, text: str) -> None:
    kind, hostile = Seen(FIELDS[field]("plain")), Seen(FIELDS[field](text))
    assert hostile.shape == kind.shape
    assert text in hostile.all_text
    assert hostile.texts["style"] == kind.texts["style"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_value_is_in_a_hidden_field_and_nowhere_else_whatever_it_is(text: str) -> None:
    for form in (entry(value=text), entry(name="_charset_", value=text)):
        seen = Seen(typed(form))
        assert [field["value"] for field in seen.every("input")] == [text]
        assert all(field["type"] == "hidden" or "hidden" in field for field in seen.every("input"))
        assert seen.shape == Seen(typed(Form(form.enctype, [Entry(form.entries[0].name, b"v")]))).shape
        assert text not in seen.all_text


def test_of_many_fields_the_first_names_are_shown_and_the_number_of_the_others() -> None:
    form = Form("text/plain", [Entry(b"%d" % number, b"v") for number in range(10_000)])
    page = typed(form)
    seen = Seen(page)
    assert len(seen.every("input")) == 10_000
    assert "and 9980 more" in seen.all_text
    assert "19" in seen.texts["ul"]
    assert "20" not in seen.texts["ul"].split()
    assert len(page.body) < form.longest_page + 16 * 1024


LINKED: dict[str, Callable[[str], Page]] = {
    "sign_in": lambda url: site().sign_in(start_url=url),
    "signed_out": lambda url: site().signed_out(start_url=url),
    "leaving": lambda url: site().leaving(start_url=url, whole=None),
    "not_allowed": lambda url: denied(url=url),
    "error": lambda url: failed(url=url),
    "typed": lambda url: typed(login_url=url),
}


@pytest.mark.parametrize("page", LINKED)
@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " javascript:alert(1)",
        "\x01javascript:alert(1)",
        "java\tscript:alert(1)",
        "java\nscript:alert(1)",
        "javascript&colon;alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:msgbox(1)",
        "blob:https://review.example.com/1",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "\\\\evil.example",
        "https:evil.example",
        "https://ok.example/\r\nx",
        "",
    ],
)
def test_a_link_that_is_not_a_web_address_leads_to_the_front_door(page: str, url: str) -> None:
    assert Seen(LINKED[page](url)).links == ["/"]
    assert Seen(typed(url=url)).every("form")[0]["action"] == "/"


@pytest.mark.parametrize("page", LINKED)
@pytest.mark.parametrize(
    "url", ["/", "/a?b=c&d=e#f", "https://review.example.com/ä", "HTTP://x/", "/\"'><script>&quot;"]
)
def test_a_web_address_is_linked_as_it_is_whatever_it_contains(page: str, url: str) -> None:
    seen = Seen(LINKED[page](url))
    assert seen.links == [url]
    assert seen.shape == Seen(LINKED[page](URL)).shape


def _luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`, WCAG 2.2."""
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("front", "back", "least"),
    [
        ("text", "card", 4.5),
        ("soft", "card", 4.5),
        ("soft", "backdrop", 4.5),
        ("on-accent", "accent", 4.5),
        ("accent", "card", 3.0),  # the button and its focus ring (WCAG 1.4.11)
    ],
)
def test_the_colours_can_be_told_apart(scheme: int, front: str, back: str, least: float) -> None:
    style = Seen(EVERY_PAGE["sign_in"]()).texts["style"]
    palettes = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in style.split(":root {")[1:]]
    assert len(palettes) == 2
    assert _contrast(palettes[scheme][front], palettes[scheme][back]) >= least
