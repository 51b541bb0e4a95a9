"""Who is signed in, in the words of front proxies and of pages. Never a token."""

from collections.abc import Callable

from oauth_proxy.headers import one_line
from oauth_proxy.identity import Identity, Session
from oauth_proxy.outcomes import Ends


def identity_headers(who: Identity) -> dict[str, str]:
    """Headers that nginx, Traefik and Caddy copy into the tool's request. The names are oauth2-proxy's."""
    fields = {
        "X-Auth-Request-User": who.id,
        "X-Auth-Request-Email": who.email,
        "X-Auth-Request-Preferred-Username": who.name,
    }
    return {name: one_line(value) for name, value in fields.items() if value}


def userinfo(session: Session, ends: Ends, date: Callable[[float], float]) -> dict[str, object]:
    """What pages may know of a session; `date` makes dates of all times. `now` is for whose own clock is wrong."""
    who = session.identity
    return {
        "id": who.id,
        "email": who.email,
        "name": who.name,
        "account_id": who.account_id,
        "expires_at": int(date(session.tokens.expires_at)),
        "session_expires_at": None if ends.at is None else int(date(ends.at)),
        "idle_expires_at": None if ends.unused is None else int(date(ends.unused)),
        "now": int(date(ends.now)),
    }
