"""Where the proxy is found and where it listens: public_url, listen, tls, admin, trusted_proxies, log."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from oauth_proxy.migration.draft import Draft
from oauth_proxy.migration.sources import Theirs
from oauth_proxy.settings import Refused, parse_listener_text, parse_network, parse_public_url, quoted

_UNKNOWN_SITE = "https://not-decided.invalid"
_OFF = ("", "-")
_ADMIN_PORT = 4181


def carry_serving(theirs: Theirs, draft: Draft) -> None:
    """Write these sections; public_url first, because the cookie's domain depends on it."""
    _public_url(theirs, draft)
    server: Any = theirs.alpha.get("server")
    tls: Any = server.get("tls") if isinstance(server, dict) else None
    if theirs.alpha:
        cert, key = _from_file(tls, "cert"), _from_file(tls, "key")
        addresses = server if isinstance(server, dict) else {}
        plain, secure = addresses.get("bindaddress", "127.0.0.1:4180"), addresses.get("securebindaddress", "")
        version, named = str(tls.get("minversion") or "") if isinstance(tls, dict) else "", "server"
        metrics: Any = theirs.alpha.get("metricsserver")
        metrics_at = metrics.get("bindaddress", "") if isinstance(metrics, dict) else ""
    else:
        cert, key = theirs.text("tls_cert_file"), theirs.text("tls_key_file")
        plain = theirs.text("http_address") or "127.0.0.1:4180"
        secure, version = theirs.text("https_address") or ":443", theirs.text("tls_min_version")
        metrics_at, named = theirs.text("metrics_address"), "http_address"
    if cert and key:
        _tls(cert, key, version, draft)
        _listen(str(secure or ":443"), "https_address" if named != "server" else named, draft)
    else:
        if theirs.alpha and str(secure) not in _OFF:
            draft.left("tls", "server secureBindAddress", "there are no two files for its certificate and key")
        _listen(str(plain), theirs.name(named), draft)
    _admin(str(metrics_at), draft)
    _trusted(theirs, draft)
    if not theirs.flag("request_logging", default=True):
        draft.put(False, "log", "access")
    if theirs.text("proxy_prefix") not in ("", "/oauth2"):
        draft.left("", theirs.name("proxy_prefix"), "the proxy's own routes always lie below /oauth2/")


def _public_url(theirs: Theirs, draft: Draft) -> None:
    name, written = theirs.name("redirect_url"), theirs.text("redirect_url")
    try:
        url = urlsplit(written)
        site = f"{url.scheme}://{url.netloc}"
        try:
            origin = parse_public_url(site)
        except Refused:
            origin = parse_public_url(f"https://{url.netloc}")
            draft.part("public_url", name, "visitors come by https: over http, cookies can be read on the way")
    except (Refused, ValueError):
        draft.put(_UNKNOWN_SITE, "public_url")
        draft.to_do("public_url", name, "write what visitors type; oauth2-proxy took it from each request")
        return
    draft.put(origin, "public_url")
    if url.path != "/oauth2/callback":
        draft.left("public_url", name, f"its path: the redirect URI is always {origin}/oauth2/callback")


def _from_file(tls: Any, which: str) -> str:
    source = tls.get(which) if isinstance(tls, dict) else None
    return str(source.get("fromfile") or "") if isinstance(source, dict) else ""


def _tls(cert: str, key: str, version: str, draft: Draft) -> None:
    draft.put({"cert": cert, "key": key}, "tls")
    if version == "TLS1.3":
        draft.put("1.3", "tls", "min_version")
    if not (cert.startswith("/") and key.startswith("/")):
        draft.to_do("tls", ("cert", "key"), "a relative path begins at the folder of this file")


def _listen(written: str, name: str, draft: Draft) -> None:
    address = written.partition("://")[2] if written.lower().startswith(("http://", "https://")) else written
    try:
        listener = _socket(address) if address.lower().startswith("unix:") else _port(address, name, draft)
    except Refused as refused:
        draft.left("listen", name, f"{quoted(written)}: {refused.message}; the proxy listens on 127.0.0.1:4180")
        return
    draft.put(listener, "listen")
    if isinstance(listener, dict) and "mode" not in listener:
        draft.to_do("listen", name, "only the proxy's own user may connect; add a mode, and a group, for others")


def _socket(address: str) -> Mapping[str, str]:
    """`unix:///path`, and after a comma the mode."""
    path, _, mode = address[len("unix:") :].partition(",")
    path = "/" + path.lstrip("/")
    parse_listener_text(f"unix:{path}")
    mode = mode.strip().removeprefix("0o")
    return {"path": path} | ({"mode": mode.zfill(4)} if mode else {})


def _port(address: str, name: str, draft: Draft) -> str:
    if address.startswith("fd:"):
        raise Refused("a socket that systemd hands over is taken by itself, where it has the address of listen")
    if address.startswith(":"):
        address = f"0.0.0.0{address}"  # noqa: S104 it was so
        draft.part("listen", name, "the proxy listens on all IPv4 addresses of this machine; for IPv6 write [::]")
    parse_listener_text(address)
    return address


def _admin(metrics: str, draft: Draft) -> None:
    """Metrics share a listener with commands and with who is signed in, so it stays on this machine."""
    port = str(draft.tree.get("listen", "")).rpartition(":")[2]
    if port == str(_ADMIN_PORT):
        draft.put(f"127.0.0.1:{_ADMIN_PORT + 1}", "admin", "listen")
    if metrics in _OFF:
        return
    host, _, number = metrics.rpartition(":")
    if host in ("127.0.0.1", "localhost", "[::1]") and number != port:
        try:
            parse_listener_text(metrics)
        except Refused:
            pass
        else:
            draft.put(metrics, "admin", "listen")
            return
    draft.left(
        "admin",
        "metrics_address",
        "admin.listen tells more than metrics, so it is for this machine only, unless you write "
        f"{quoted(metrics)} there",
    )


def _trusted(theirs: Theirs, draft: Draft) -> None:
    name, listed = theirs.name("trusted_proxy_ips"), theirs.items("trusted_proxy_ips")
    if not theirs.flag("reverse_proxy"):
        if listed:
            draft.left("trusted_proxies", name, "without reverse_proxy they meant nothing")
        return
    accepted = []
    for number, each in enumerate(listed, 1):
        try:
            network = parse_network(each)
        except Refused as refused:
            draft.left("trusted_proxies", f"{name} {number}", refused.message)
            continue
        if network.prefixlen:
            accepted.append(str(network))
        else:
            draft.left("trusted_proxies", f"{name} {number}", "everybody's X-Forwarded-For is nobody's")
    if accepted:
        draft.put(accepted, "trusted_proxies")
    else:
        draft.to_do(
            "trusted_proxies",
            theirs.name("reverse_proxy"),
            "write the addresses of your front proxies: only from them X-Forwarded-For is believed",
        )
    header = theirs.text("real_client_ip_header") or "X-Real-IP"
    if header.lower() != "x-forwarded-for":
        draft.part(
            "trusted_proxies",
            theirs.name("real_client_ip_header"),
            f"visitors' addresses are read from X-Forwarded-For, not from {quoted(header)}; let the front send it",
        )
