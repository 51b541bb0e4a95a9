"""A program made with Frame.io's own SDK, in an environment of its own; it says and hears lines of JSON.

Its first argument names what it does, its second is a JSON object that says with what.
"""

import json
import sys
from typing import Any

from frameio import Frameio
from frameio.auth import ConfigurationError, SPAAuth, WebAppAuth


def say(**fields: Any) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def hear() -> Any:
    return json.loads(sys.stdin.readline())


def web_app(app: dict[str, Any]) -> None:
    """Login, refresh, revoke, with a secret."""
    auth = WebAppAuth(**app)
    say(url=auth.get_authorization_url(state="a-state-nobody-can-guess"))
    auth.exchange_code(code=hear())
    first = auth.export_tokens()
    auth.refresh()
    say(first=first, second=auth.export_tokens())
    hear()
    auth.revoke()
    say(held=auth.export_tokens())


def spa(app: dict[str, Any]) -> None:
    """Login, an attempt to refresh, revoke, without a secret."""
    auth = SPAAuth(**app)
    asked = auth.get_authorization_url(state="a-state-nobody-can-guess")
    say(url=asked.url)
    auth.exchange_code(code=hear(), code_verifier=asked.code_verifier)
    try:
        auth.refresh()
    except ConfigurationError as error:
        say(first=auth.export_tokens(), refused=str(error))
    hear()
    auth.revoke()
    say(held=auth.export_tokens())


def client(of: dict[str, Any]) -> None:
    """Who am I, and which accounts have I, on pages of two?"""
    frameio = Frameio(**of)
    me = frameio.users.show().data
    accounts = list(frameio.accounts.index(page_size=2))
    say(me=[me.id, me.email, me.name], accounts=[account.id for account in accounts])


{"web_app": web_app, "spa": spa, "client": client}[sys.argv[1]](json.loads(sys.argv[2]))
