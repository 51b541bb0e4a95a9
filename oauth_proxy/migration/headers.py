"""What the tool was told about the visitor, as the section `headers`.

Law: the tool gets the visitor's token where it got one before, and not because that is the default here.
"""

from collections.abc import Iterator
from typing import Any

from oauth_proxy.migration.draft import Draft
from oauth_proxy.migration.sources import Theirs
from oauth_proxy.settings import Refused, parse_header_name, parse_header_template

_CLAIMS = {
    "user": "{id}",
    "email": "{email}",
    "preferred_username": "{name}",
    "access_token": "{access_token}",
}
_ANSWERED = {
    "x-auth-request-user": "user",
    "x-auth-request-email": "email",
    "x-auth-request-preferred-username": "preferred_username",
}
"""What /oauth2/auth always says."""
_ASKED = (
    "/oauth2/auth tells the token to front proxies that auth_request_from names, and to nobody else; write their "
    "addresses there (docs/behind-a-proxy.md)"
)


def carry_headers(theirs: Theirs, draft: Draft) -> None:
    """Write `headers`, all of them: the defaults here would tell the tool more."""
    headers = dict(_alpha(theirs, draft) if theirs.alpha else _legacy(theirs, draft))
    draft.put(headers, "headers")
    if "Authorization" not in headers:
        draft.to_do(
            "headers",
            "Authorization",
            "oauth2-proxy sent the tool no such token, so it gets none; if it shall call Frame.io as the visitor, "
            'add Authorization: "Bearer {access_token}"',
        )
    if "{id}" in headers.values():
        draft.part("headers", "user", "the {id} is Frame.io's: another one than their provider's was")


def _legacy(theirs: Theirs, draft: Draft) -> Iterator[tuple[str, str]]:
    by_email = theirs.flag("prefer_email_to_user")
    if theirs.flag("pass_basic_auth", default=True) or theirs.flag("pass_user_headers", default=True):
        yield "X-Forwarded-User", "{email}" if by_email else "{id}"
        if not by_email:
            yield "X-Forwarded-Email", "{email}"
        yield "X-Forwarded-Preferred-Username", "{name}"
        draft.left("headers", "X-Forwarded-Groups", "Frame.io tells of no groups")
    if theirs.flag("pass_access_token"):
        yield "X-Forwarded-Access-Token", "{access_token}"
    if theirs.is_set("basic_auth_password"):
        name = theirs.name("basic_auth_password")
        draft.left("headers", name, "no password is sent to the tool; it knows the visitor by the headers here")
    if theirs.flag("pass_authorization_header"):
        name = theirs.name("pass_authorization_header")
        draft.left(
            "headers", name, "it sent the provider's ID token, and Frame.io's access token is another thing"
        )
    if not theirs.flag("skip_auth_strip_headers", default=True):
        name = theirs.name("skip_auth_strip_headers")
        draft.left("headers", name, "what visitors send under these names is always struck")
    _legacy_answers(theirs, draft)


def _legacy_answers(theirs: Theirs, draft: Draft) -> None:
    if theirs.flag("set_xauthrequest"):
        draft.needless(
            theirs.name("set_xauthrequest"), "/oauth2/auth always answers with X-Auth-Request-User, -Email …"
        )
        if theirs.flag("pass_access_token"):
            draft.to_do("auth_request_from", "X-Auth-Request-Access-Token", _ASKED)
    for key in ("set_authorization_header", "set_basic_auth"):
        if theirs.flag(key):
            draft.left(
                "headers", theirs.name(key), f"/oauth2/auth answers with no ID token and no password; {_ASKED}"
            )


def _alpha(theirs: Theirs, draft: Draft) -> Iterator[tuple[str, str]]:
    taken: set[str] = set()
    for name, values in _listed(theirs, "injectrequestheaders"):
        if name.lower().replace("_", "-") in taken:
            draft.left("headers", f"injectRequestHeaders {name}", "there is an earlier one of this name")
            continue
        try:
            parse_header_name(name)
            template = _template(values)
        except Refused as refused:
            draft.left("headers", f"injectRequestHeaders {name}", refused.message)
        else:
            taken.add(name.lower().replace("_", "-"))
            yield name, template
    for name, values in _listed(theirs, "injectresponseheaders"):
        claim = _source(values[0]).get("claim") if len(values) == 1 else None
        if claim is not None and _ANSWERED.get(name.lower()) == claim:
            draft.needless(f"injectResponseHeaders {name}", "/oauth2/auth always answers with it")
        else:
            draft.left("headers", f"injectResponseHeaders {name}", f"no such header is added to answers; {_ASKED}")


def _listed(theirs: Theirs, key: str) -> Iterator[tuple[str, list[Any]]]:
    found = theirs.alpha.get(key)
    for each in found if isinstance(found, list) else []:
        if isinstance(each, dict):
            values = each.get("values")
            yield str(each.get("name") or ""), values if isinstance(values, list) else []


def _source(value: Any) -> dict[str, Any]:
    """Where a value comes from; newer versions write it one level deeper."""
    source = value if isinstance(value, dict) else {}
    for deeper in ("claimsource", "secretsource"):
        inner = source.get(deeper)
        source = {**source, **inner} if isinstance(inner, dict) else source
    return source


def _template(values: list[Any]) -> str:
    if not values:
        raise Refused("it was only struck; here it is struck if it says who somebody is (docs/struck-headers.md)")
    if len(values) > 1:
        raise Refused("a header has one value here")
    source = _source(values[0])
    if source.get("basicauthpassword"):
        raise Refused("no password is sent to the tool")
    if "claim" not in source:
        raise Refused("a fixed value may be a secret; write it here as ${NAME}, a variable of the environment")
    claim = str(source["claim"])
    if claim not in _CLAIMS:
        raise Refused(f"there is no such thing here as the claim; {', '.join(_CLAIMS)} have their placeholders")
    prefix = str(source.get("prefix") or "")
    if "{" in prefix or "}" in prefix:
        raise Refused("braces only enclose a placeholder")
    return parse_header_template(prefix + _CLAIMS[claim])
