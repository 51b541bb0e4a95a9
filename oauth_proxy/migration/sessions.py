"""Sessions: how long they last, their cookie, and the Redis that replicas share."""

from urllib.parse import SplitResult, quote, urlsplit

from oauth_proxy.migration.draft import Draft
from oauth_proxy.migration.sources import Theirs, seconds
from oauth_proxy.settings import Refused, parse_store, write_duration

_WEEK, _LONGEST, _MINUTE = 7 * 86_400.0, 3650 * 86_400.0, 60.0


def carry_session(theirs: Theirs, draft: Draft) -> None:
    """Write `session`, with a variable for its secret, and access.recheck."""
    draft.put_variable(
        "${OAUTH_PROXY_SECRET}", "OAUTH_PROXY_SECRET", "`oauth-proxy secret` prints one", "session", "secret"
    )
    _lifetime(theirs, draft)
    _recheck(theirs, draft)
    _cookie(theirs, draft)
    if theirs.text("session_store_type") == "redis":
        try:
            _store(theirs, draft)
        except (Refused, ValueError):
            draft.left("session", "redis", "this is no Redis that session.store can name; replicas need one")


def _lifetime(theirs: Theirs, draft: Draft) -> None:
    lifetime, name = _WEEK, theirs.name("cookie_expire")
    if "cookie_expire" in theirs.values:
        given = seconds(theirs.text("cookie_expire"))
        if given and 1 <= given <= _LONGEST:
            lifetime = given
            draft.put(write_duration(lifetime), "session", "lifetime")
        else:
            draft.left("session", name, "a session here always ends; without session.lifetime after 7d")
    # oauth2-proxy knows no end for want of use.
    draft.put(write_duration(lifetime), "session", "idle")


def _recheck(theirs: Theirs, draft: Draft) -> None:
    given, name = seconds(theirs.text("cookie_refresh")), theirs.name("cookie_refresh")
    if given is not None and _MINUTE <= given <= _LONGEST:
        draft.put(write_duration(given), "access", "recheck")
    elif given:
        draft.put("1m", "access", "recheck")
        draft.part("access", name, "Frame.io is asked at most every minute")
    elif theirs.is_set("cookie_refresh"):
        draft.left("access", name, "this is no time; who may enter is asked again every hour")


def _cookie(theirs: Theirs, draft: Draft) -> None:
    name = theirs.text("cookie_name")
    for prefix in ("__host-", "__secure-"):
        name = name[len(prefix) :] if name.lower().startswith(prefix) else name
    if name:
        draft.put(name, "session", "cookie", "name")
    same_site = theirs.text("cookie_samesite").lower()
    if same_site == "none":
        draft.put("none", "session", "cookie", "same_site")
    elif same_site not in ("", "lax"):
        why = "it is lax: a strict cookie would not come along on the way back from Frame.io"
        draft.left("session", theirs.name("cookie_samesite"), why)
    if theirs.text("cookie_path") not in ("", "/"):
        draft.left(
            "session", theirs.name("cookie_path"), "the cookie's path is always /, for /oauth2/ needs it too"
        )
    _domain(theirs, draft)


def _domain(theirs: Theirs, draft: Draft) -> None:
    domains = [domain.lstrip(".").lower() for domain in theirs.items("cookie_domains")]
    host = urlsplit(str(draft.tree.get("public_url", ""))).hostname or ""
    fitting = sorted((each for each in domains if host == each or host.endswith(f".{each}")), key=len)
    if fitting:
        draft.put(fitting[-1], "session", "cookie", "domain")
    if len(domains) > len(fitting[-1:]):
        why = "a session has one domain, in which public_url lies; without one, only its host gets the cookie"
        draft.left("session", theirs.name("cookie_domains"), why)


def _store(theirs: Theirs, draft: Draft) -> None:
    """Write session.store. Raises Refused or ValueError for what is no address of a Redis."""
    mode, urls = "", [theirs.text("redis_connection_url")]
    path = urlsplit(urls[0]).path.strip("/")
    if theirs.flag("redis_use_sentinel"):
        mode, urls = "+sentinel", theirs.items("redis_sentinel_connection_urls")
        path = theirs.text("redis_sentinel_master_name")
    elif theirs.flag("redis_use_cluster"):
        mode, urls, path = "+cluster", theirs.items("redis_cluster_connection_urls"), ""
    nodes = [urlsplit(url) for url in urls]
    if not nodes or any(node.scheme not in ("redis", "rediss") for node in nodes):
        raise Refused("no Redis")
    tls = "s" if any(node.scheme == "rediss" for node in nodes) else ""
    user = theirs.text("redis_username") or nodes[0].username or ""
    has_password = theirs.is_set("redis_password") or any(node.password for node in nodes)
    login = f"{quote(user, safe='')}:@" if has_password else ""
    url = f"redis{tls}{mode}://{login}{','.join(map(_address, nodes))}" + (f"/{path}" if path else "")
    parse_store(url.replace(":@", ":password@", 1) if has_password else url)
    if has_password:
        url = url.replace("$", "$$").replace(":@", ":${REDIS_PASSWORD}@", 1)
        draft.put_variable(url, "REDIS_PASSWORD", "the Redis password, percent-encoded", "session", "store")
    else:
        draft.put(url, "session", "store")


def _address(node: SplitResult) -> str:
    return node.netloc.rpartition("@")[2]
