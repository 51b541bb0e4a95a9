"""oauth2-proxy's configuration becomes a file of ours, with everything named that could not be carried over.

Law: whatever cannot be carried over exactly is carried over with less effect or not at all, never with more.
"""

import secrets
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.migration.draft import Draft, Kind
from oauth_proxy.migration.entry import carry_entry
from oauth_proxy.migration.headers import carry_headers
from oauth_proxy.migration.names import NEEDLESS, REPLACED_BY_ALPHA, RESTRICTING, WITHOUT
from oauth_proxy.migration.public import carry_public
from oauth_proxy.migration.serving import carry_serving
from oauth_proxy.migration.sessions import carry_session
from oauth_proxy.migration.sources import Theirs, read
from oauth_proxy.migration.upstreams import carry_upstreams
from oauth_proxy.settings import parse

_CARRIED = REPLACED_BY_ALPHA | frozenset(
    (
        *("proxy_websockets", "skip_auth_routes", "skip_auth_regex", "skip_auth_preflight"),
        *("email_domains", "authenticated_emails_file", "redirect_url", "reverse_proxy"),
        *("real_client_ip_header", "trusted_proxy_ips", "request_logging", "proxy_prefix"),
        *("cookie_expire", "cookie_refresh", "cookie_name", "cookie_samesite", "cookie_path", "cookie_domains"),
        *("session_store_type", "redis_connection_url", "redis_use_sentinel", "redis_sentinel_master_name"),
        *("redis_sentinel_connection_urls", "redis_use_cluster", "redis_cluster_connection_urls"),
        *("redis_password", "redis_username"),
    )
)
"""The keys that some part of this room reads; each of them names for itself what it cannot carry over."""
KNOWN = (
    _CARRIED
    | RESTRICTING
    | {key for _, keys, _ in WITHOUT for key in keys.split()}
    | {key for keys, _ in NEEDLESS for key in keys.split()}
)
"""Every key of oauth2-proxy that is known here, carried over or not."""
_ALPHA = frozenset(
    (
        *("upstreamconfig", "upstreams", "injectrequestheaders", "injectresponseheaders", "server"),
        *("metricsserver", "providers"),
    )
)


@dataclass(frozen=True, slots=True)
class Migrated:
    """`text` is the file; `summary` says in lines what it does not do as before, and what is still to do."""

    text: str
    summary: tuple[str, ...]


def migrated(
    file: Path | None,
    alpha: Path | None,
    flags: Sequence[str],
    environ: Mapping[str, str],
    api: Literal["v2", "v4"] = "v4",
) -> Migrated:
    """What oauth2-proxy would do with this file, alpha configuration, flags and environment, as a file of ours.

    Raises ConfigurationError if something cannot be read, or if there is nothing of oauth2-proxy's in it.
    """
    theirs = read(file, alpha, flags, environ)
    if not theirs.values and not theirs.alpha:
        raise ConfigurationError(
            ["nothing of oauth2-proxy's is there: no file, no flag, no OAUTH2_PROXY_ variable"]
        )
    draft = Draft()
    carry_serving(theirs, draft)
    _frameio(api, draft)
    lost = carry_upstreams(theirs, draft)
    carry_entry(theirs, draft)
    carry_public(theirs, lost, draft)
    carry_session(theirs, draft)
    carry_headers(theirs, draft)
    _name_the_rest(theirs, draft)
    text = draft.text("an oauth2-proxy configuration")
    return Migrated(text, (*_summary(theirs, draft), *_problems(text, draft)))


def _frameio(api: str, draft: Draft) -> None:
    draft.put(api, "frameio", "api")
    for key in ("client_id", "client_secret"):
        name = f"FRAMEIO_{key.upper()}"
        draft.put_variable(f"${{{name}}}", name, "from the app that you register with Frame.io", "frameio", key)


def _name_the_rest(theirs: Theirs, draft: Draft) -> None:
    """Name every key that no other part of this room reads."""
    for section, keys, why in WITHOUT:
        if named := [theirs.name(key) for key in keys.split() if theirs.is_set(key)]:
            draft.left(section, named, why)
    for keys, why in NEEDLESS:
        if named := [theirs.name(key) for key in keys.split() if key in theirs.values]:
            draft.needless(named, why)
    if "proxy_websockets" in theirs.values:
        draft.needless(theirs.name("proxy_websockets"), "WebSockets always pass, under the same rules as requests")
    _name_unknown(theirs, draft)


def _name_unknown(theirs: Theirs, draft: Draft) -> None:
    if theirs.alpha and (named := [theirs.name(key) for key in theirs.values if key in REPLACED_BY_ALPHA]):
        draft.left("", named, "the alpha configuration takes its place, as in oauth2-proxy")
    if unknown := [theirs.name(key) for key in theirs.values if key not in KNOWN]:
        draft.left("", unknown, "this is no key of oauth2-proxy that is known here")
    if unknown := [key for key in theirs.alpha if key not in _ALPHA]:
        draft.left("", unknown, "this part of the alpha configuration is not known here")
    if theirs.alpha.get("providers"):
        draft.left("frameio", "providers", "Frame.io is the provider here, with an app of its own")


def _summary(theirs: Theirs, draft: Draft) -> list[str]:
    lines = [f"{len(theirs.values) + len(theirs.alpha)} settings of oauth2-proxy were read."]
    for kind in (Kind.LEFT, Kind.PART, Kind.TO_DO):
        said = draft.of(kind)
        lines += [f"{kind.value.capitalize()} ({len(said)}):", *(f"  {remark}" for remark in said)] if said else []
    lines.append("Set in the environment, or write in their place:")
    lines += [f"  {name}: {what}" for name, what in draft.variables.items()]
    return lines


def _problems(text: str, draft: Draft) -> list[str]:
    """What `check` will say once the variables are set; nothing, unless a file that is named is not there."""
    secret = b64encode(secrets.token_bytes(32)).decode("ascii")
    environ = {**dict.fromkeys(draft.variables, "stand-in"), "OAUTH_PROXY_SECRET": secret}
    try:
        parse(text, filename="this file", environ=environ, folder=Path.cwd())
    except ConfigurationError as error:
        return ["`oauth-proxy check` will say:", *(f"  {problem}" for problem in error.problems)]
    return ["Then `oauth-proxy check` the file, and read its comments."]
