"""The section `headers`: the header fields that tell the tool about the visitor."""

import re
from collections.abc import Mapping
from string import Formatter
from typing import Annotated

from pydantic import AfterValidator

from oauth_proxy.settings.fields import FromText
from oauth_proxy.settings.problems import Refused, nearest, one_of

DEFAULT_HEADERS: Mapping[str, str] = {
    "Authorization": "Bearer {access_token}",
    "X-Forwarded-User": "{id}",
    "X-Forwarded-Email": "{email}",
    "X-Forwarded-Preferred-Username": "{name}",
}
HANDLE_HEADER: Mapping[str, str] = {"X-OAuth-Proxy-Handle": "{handle}"}
"""One more default header if there is a tool API."""
PLACEHOLDERS = ("access_token", "id", "email", "name", "account_id", "expires_at", "handle", "assertion")

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
# Fields that frame a message or belong to a connection (RFC 9110 7.6.1, RFC 9112 6), or to the sign-in.
_CONNECTION = re.compile(
    "connection|content-length|cookie|expect|host|keep-alive|proxy-authenticate|proxy-authorization|"
    "proxy-connection|set-cookie|te|trailer|transfer-encoding|upgrade"
)
_SET_BY_THE_PROXY = re.compile("forwarded|x-forwarded-(?:for|host|port|proto)|x-request-id")


def parse_header_name(text: str) -> str:
    """A field name (RFC 9110 5.1) that may be set for the tool."""
    if not _TOKEN.fullmatch(text):
        raise Refused("a header name is letters, digits and '-'")
    if _CONNECTION.fullmatch(_folded(text)):
        raise Refused("this header belongs to the connection and cannot be set")
    if _SET_BY_THE_PROXY.fullmatch(_folded(text)):
        raise Refused("this header is written by the proxy itself")
    return text


def parse_header_template(text: str) -> str:
    """A field value with placeholders, such as `Bearer {access_token}`."""
    if not re.fullmatch(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?", text):
        raise Refused("a header's value is printable ASCII, without spaces at its ends")
    for name in re.findall(r"\{([^{}]*)\}", text):
        if name not in PLACEHOLDERS:
            near = nearest(name, PLACEHOLDERS)
            known = one_of([f"{{{each}}}" for each in PLACEHOLDERS])
            raise Refused(f"a placeholder is {known}", f"{{{near}}}" if near else None)
    if re.search(r"[{}]", re.sub(r"\{[^{}]*\}", "", text)):
        raise Refused("braces only enclose a placeholder, such as {email}")
    if "{assertion}" in text and len(placeholders(text)) > 1:
        raise Refused("an assertion says who it is by itself: no other placeholder stands beside {assertion}")
    return text


def placeholders(template: str) -> set[str]:
    """The names of the placeholders in a template that `parse_header_template` returned."""
    return {name for _, name, _, _ in Formatter().parse(template) if name}


def any_has(headers: Mapping[str, str], placeholder: str) -> bool:
    """Whether the template of any of these headers has this placeholder."""
    return any(placeholder in placeholders(template) for template in headers.values())


def _require_different_names(headers: Mapping[str, str]) -> Mapping[str, str]:
    if len({_folded(name) for name in headers}) < len(headers):
        raise Refused("two of these names are the same header: case, and '_' for '-', make no difference to tools")
    return headers


def _folded(name: str) -> str:
    """The name without the differences that tools may ignore: WSGI and CGI write '_' for '-' (RFC 3875 4.1.18)."""
    return name.lower().replace("_", "-")


Headers = Annotated[
    Mapping[Annotated[str, FromText(parse_header_name)], Annotated[str, FromText(parse_header_template)]],
    AfterValidator(_require_different_names),
]
