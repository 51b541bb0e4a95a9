"""Renders the pages from templates.

The law: where operators bring templates or languages, every template is rendered before the first visitor comes,
and one that cannot be stops the start. Ours are rendered before the first visitor of each, because all of them
took a quarter of a start; tests prove that this works. The Content-Security-Policy allows only the styles found
then, so visitors' input can add none.
"""

import copy
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, StrictUndefined, pass_context
from jinja2.runtime import Context

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.forms import Kept
from oauth_proxy.pages import json_page
from oauth_proxy.pages.addresses import link, parts
from oauth_proxy.pages.files import loader
from oauth_proxy.pages.languages import ENGLISH, Language, Untranslated, languages, preferred
from oauth_proxy.pages.looks import Looks
from oauth_proxy.pages.policy import FRAMED, NEEDS, NOTHING, page_headers
from oauth_proxy.pages.rehearsal import SAMPLE, rehearsed
from oauth_proxy.pages.troubles import unreadable
from oauth_proxy.pages.typed import shown
from oauth_proxy.pages.words import Action, texts

_PLAIN = Looks()


@dataclass(frozen=True, slots=True)
class Page:
    """A response for a browser: `body` is UTF-8 HTML; `Responses` adds the headers that all our responses have."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]


class Pages:
    """The pages of one site, in English; `for_reader` has them in other languages.

    Args:
        name: the name of the site, shown on top of every page.
        looks: what else every page shows of the site.
        frame_ancestors: the sites that may show in a frame those pages that explain something.
        templates: a folder whose files replace ours of the same name (base.html, sign_in.html,
            signed_in.html, signed_out.html, sign_out.html, leaving.html, not_allowed.html, typed.html, error.html,
            frame.html, frame_end.html). They may extend or include ours as "ours/…", and use further files of the
            folder. Further languages are in its folder `locales`. They are read once, now.

    Raises:
        ConfigurationError: the folder does not exist, or a template in it cannot be compiled, fails with sample
            values, does not escape a value, or contains what the Content-Security-Policy blocks.
    """

    def __init__(
        self,
        *,
        name: str,
        looks: Looks = _PLAIN,
        templates: Path | None = None,
        frame_ancestors: Sequence[str] = (),
    ) -> None:
        if templates is not None and (problems := unreadable(templates)):
            raise ConfigurationError(problems)
        self._environment = Environment(
            loader=loader(templates),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,  # a changed template is used after a restart, which tests it
        )
        self._environment.filters["parts"] = parts
        self._environment.globals |= {"site": name, "_": _said, **looks._asdict()}
        self._policies: dict[str, str] = {}
        self.frame_ancestors = frame_ancestors
        self._language = ENGLISH
        self._others: dict[str, Pages] = {}
        self.notes: list[str] = []
        """A sentence for each language that lacks texts."""
        if templates is not None:
            self._rehearse()
        for language, is_theirs in languages(templates and templates / "locales"):
            pages = self._others[language.tag] = copy.copy(self)
            pages._language = language  # noqa: SLF001 - one of us
            if is_theirs:  # tests hold that ours are whole
                self.notes += pages._proofread()  # noqa: SLF001 - one of us

    def for_reader(self, accept_language: Sequence[bytes]) -> "Pages":
        """The pages in the language that a browser asks for by Accept-Language (RFC 9110 12.5.4)."""
        return self._others.get(preferred(accept_language, self._others), self) if accept_language else self

    def _proofread(self) -> list[str]:
        """Render the pages in a language of the operators'. Returns a sentence if it lacks texts."""
        missed = Untranslated()
        self._language.texts.add_fallback(missed)
        self._rehearse()
        for text in texts():
            self._language.say(text)
        lacking = sorted(missed.found - {SAMPLE})
        said = f"the language {self._language.tag} lacks {len(lacking)} texts: they are in English. The first is "
        return [said + repr(lacking[0])] if lacking else []

    def sign_in(self, *, start_url: str, leads_to: str | None = None) -> Page:
        """The page that offers to sign in, 200; `start_url` starts a login, which `leads_to` a path to show."""
        return self._page("sign_in.html", 200, start_url=link(start_url), leads_to=leads_to)

    def signed_in(self, *, email: str | None, name: str | None) -> Page:
        """The page at the end of a login beside another page, 200; it says who is signed in, as far as known.

        Its script tells the other pages of this site, and closes the window that a script of ours has opened.
        """
        return self._page("signed_in.html", 200, email=email, name=name)

    def signed_out(self, *, start_url: str) -> Page:
        """The page after sign-out, 200; `start_url` starts a new login."""
        return self._page("signed_out.html", 200, start_url=link(start_url))

    def sign_out(self, *, action: str, stay_url: str) -> Page:
        """The question whether to sign out, 200; its form posts to `action`, and "no" leads to `stay_url`."""
        return self._page("sign_out.html", 200, action=link(action), stay_url=link(stay_url))

    def leaving(self, *, start_url: str, whole: str | None) -> Page:
        """The page for a stranger's navigation, 401: its script goes to the login with the whole address.

        `start_url` starts a login; `whole` is the address to return to, if that is too long for `start_url`.
        """
        return self._page("leaving.html", 401, start_url=link(start_url), whole=whole)

    def not_allowed(self, *, email: str | None, name: str | None, switch_url: str, request_id: str) -> Page:
        """The page for somebody who is signed in but has no access, 403.

        It shows their account as far as that is known; `switch_url` lets them sign in with another account.
        """
        return self._page(
            "not_allowed.html",
            403,
            email=email,
            name=name,
            switch_url=link(switch_url),
            request_id=request_id,
        )

    def typed(
        self,
        *,
        status: int,
        title: str,
        sentence: str,
        email: str | None,
        name: str | None,
        login_url: str | None,
        kept: Kept,
        request_id: str,
        framed: bool = False,
    ) -> Page:
        """The page for a form that failed, with what was typed; one signs in beside it, or `framed` in a frame."""
        return self._page(
            "typed.html",
            status,
            status=status,
            title=self._language.say(title),
            sentence=self._language.say(sentence),
            email=email,
            name=name,
            login_url=None if login_url is None else link(login_url),
            framed=framed,
            form=kept.form and shown(kept.form, link(kept.action)),
            may_have_it=kept.may_have_it,
            request_id=request_id,
        )

    def error(
        self,
        *,
        status: int,
        title: str,
        sentence: str,
        action: Action | None,
        request_id: str,
        is_outcome: bool = False,
    ) -> Page:
        """The page for a failure with this `status`, which people are not shown if it `is_outcome` of a login.

        The visitor can report `request_id`, which operators find in the log.
        """
        say = self._language.say
        way_on = action._replace(url=link(action.url), label=self._label(action)) if action else None
        return self._page(
            "error.html",
            status,
            status=status,
            is_outcome=is_outcome,
            title=say(title),
            sentence=say(sentence),
            action=way_on,
            request_id=request_id,
        )

    def frame(self, *, login_url: str, own_url: str) -> Page:
        """The page in another site's frame, 200: `login_url` opens in a window, and `own_url` outside, too."""
        return self._page("frame.html", 200, login_url=link(login_url), own_url=link(own_url))

    def frame_end(self, *, own_url: str) -> Page:
        """The page in that window in the end, 200: its script gives the login to the frame, and closes it."""
        return self._page("frame_end.html", 200, own_url=link(own_url))

    def ancestors(self, template: str) -> Sequence[str]:
        """The sites that may show the pages of this template in a frame."""
        return self.frame_ancestors if template in FRAMED else ()

    def json_page(
        self,
        *,
        status: int,
        title: str,
        sentence: str,
        action: Action | None,
        content: Mapping[str, object],
        script: str = "",
    ) -> Page:
        """JSON and a page at once, for a window or a script: see `pages.json_page`. `script` follows the link."""
        language, say = self._language, self._language.say
        way_on = (self._label(action), link(action.url)) if action else ("", "")
        words = say(title), say(sentence) if sentence else ""
        show = json_page.Show(language.tag, language.direction, *words, *way_on, script)
        headers = page_headers(json_page.policy(show), language.tag, "same-origin")
        return Page(status, json_page.body(show, content), headers)

    def _label(self, action: Action) -> str:
        label = self._language.say(action.label)
        return label % action.words if action.words else label

    def _page(self, template: str, status: int, /, **values: object) -> Page:
        needs = NEEDS.get(template, NOTHING)
        text = self._environment.get_template(template).render(values, language=self._language)
        # With `no-referrer` a form's Origin is "null" (Fetch 3.2), which another site's may be too.
        referrer = "no-referrer" if needs.forms == NOTHING.forms else "same-origin"
        headers = page_headers(
            self._policy(template),
            self._language.tag,
            referrer,
            frames=bool(self.ancestors(template)),
        )
        # A profile may contain a lone surrogate (JSON allows it), which UTF-8 cannot encode: it becomes "?".
        return Page(status, text.encode(errors="replace"), headers)

    def _policy(self, template: str) -> str:
        try:
            return self._policies[template]
        except KeyError:  # its first page
            self._rehearse(template)
        return self._policies[template]

    def _rehearse(self, template: str | None = None) -> None:
        """Learn the policy of this template, or of all. Raises ConfigurationError."""
        rehearsing = copy.copy(self)
        rehearsing._policies = defaultdict(str)  # noqa: SLF001 - one of us; nobody gets its pages
        self._policies |= rehearsed(rehearsing, template)


@pass_context
def _said(context: Context, text: str) -> str:
    """A text of a template, in the language of the page."""
    language: Language = context["language"]
    return language.say(text)
