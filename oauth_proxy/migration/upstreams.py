"""The tools: oauth2-proxy passes the whole path on, and here the URL takes the prefix's place.

Law: a path whose tool cannot be carried over leads nowhere, rather than to another tool.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from oauth_proxy.migration.draft import Draft
from oauth_proxy.migration.sources import Theirs, as_flag, seconds
from oauth_proxy.settings import Refused, parse_path_prefix, parse_upstream_url, quoted, write_duration

NOWHERE = "http://not-carried-over.invalid"
"""No such host can exist (RFC 2606): whoever goes there gets a 502."""
_DEFAULT_TIMEOUT = 30.0
_REWRITTEN = re.compile(r"\^(?P<prefix>/(?:[A-Za-z0-9/_~@=-]|\\[.-])*)\(\.\*\)\$?")
_BEGINNING = re.compile(r"\^(/(?:[A-Za-z0-9_~@=-]+/)*)")
_TARGET = re.compile(r"(?P<base>/(?:[A-Za-z0-9._~@=/-]*/)?)\$(?:1|\{1\})")


@dataclass(frozen=True, slots=True)
class Lost:
    """Requests whose tool is not carried over and which another tool gets: one path, or with `below` a prefix."""

    path: str
    below: bool

    def meets(self, path: str, below: bool) -> bool:
        """Whether some request is among these, and also of this path, or this prefix."""
        return (
            path == self.path
            or (below and self.path.startswith(path))
            or (self.below and path.startswith(self.path))
        )


class _NotCarriedError(Exception):
    """Why a tool cannot be carried over."""


@dataclass(frozen=True, slots=True)
class _Theirs:
    """One upstream as oauth2-proxy knows it; `static` is the status of a fixed answer."""

    name: str
    path: str
    uri: str
    rewrite: str = ""
    static: int | None = None
    pass_host: bool = True
    timeout: object = None
    insecure: bool = False

    @property
    def prefix(self) -> str | None:
        """The prefix here whose requests are exactly those of this upstream; None if there is none."""
        path = self.path
        if self.rewrite:
            match = _REWRITTEN.fullmatch(path)
            path = match["prefix"].replace("\\", "") if match else ""
        if not path.endswith("/"):
            return None
        try:
            return parse_path_prefix(path)
        except Refused:
            return None

    @property
    def lost(self) -> Lost:
        """What it was asked for, if it has no prefix here; of an expression what it begins with."""
        if not self.rewrite:
            return Lost(self.path, below=self.path.endswith("/"))
        begins = _BEGINNING.match(self.path)
        return Lost(begins[1] if begins else "/", below=True)


def carry_upstreams(theirs: Theirs, draft: Draft) -> list[Lost]:
    """Write `upstreams`, and return what is lost. There is always one, if only one that leads nowhere."""
    listed = list(_alpha(theirs) if theirs.alpha else _legacy(theirs))
    carried: dict[str, dict[str, str]] = {}
    for each in listed:
        _carry(each, listed, carried, draft)
    for each in listed:
        if each.prefix is None and each.static is not None and each.static >= 400:
            _close_around(each, carried, draft)
    if not carried:
        carried["/"] = {"url": NOWHERE}
        draft.to_do("upstreams", "/", "write the address of your tool, or leave it where there is none")
    for prefix, settings in carried.items():
        draft.put(settings["url"] if len(settings) == 1 else settings, "upstreams", prefix)
    return [each.lost for each in listed if each.prefix is None]


def _carry(each: _Theirs, listed: Sequence[_Theirs], carried: dict[str, dict[str, str]], draft: Draft) -> None:
    prefix = each.prefix
    if not each.rewrite and any(other.rewrite and _covers(other, each) for other in listed):
        draft.left("upstreams", each.name, "a rewrite took all of its requests, so it was never asked")
        return
    if prefix in carried:
        draft.left("upstreams", each.name, "there is an earlier one for the same path")
        return
    try:
        url = _url(each, prefix)
    except _NotCarriedError as why:
        if prefix is None:
            falls = "its requests go to the tool with the longest prefix of them, if there is one"
            draft.left("upstreams", each.name, f"{why}; {falls}")
        else:
            carried[prefix] = {"url": NOWHERE}
            draft.left("upstreams", each.name, f"{why}; {prefix} leads nowhere")
        return
    if prefix is not None:
        carried[prefix] = {"url": url, **_options(each, draft)}


def _covers(rewriting: _Theirs, other: _Theirs) -> bool:
    return rewriting.prefix is not None and other.path.startswith(rewriting.prefix)


def _url(each: _Theirs, prefix: str | None) -> str:
    """The URL that takes the prefix's place. Raises _NotCarriedError."""
    if each.static is not None:
        raise _NotCarriedError(f"a fixed answer ({each.static}) is none that the proxy gives")
    try:
        uri = urlsplit(each.uri)
    except ValueError:
        raise _NotCarriedError("its address cannot be read") from None
    if uri.scheme == "file":
        raise _NotCarriedError("the proxy serves no files; a web server for them is a tool like any other")
    if uri.scheme not in ("http", "https", "unix"):
        raise _NotCarriedError("a tool's address begins with http://, https:// or unix:")
    if prefix is None:
        raise _NotCarriedError(_why_no_prefix(each))
    base = prefix.rstrip("/")
    if each.rewrite:
        target = _TARGET.fullmatch(each.rewrite)
        if target is None:
            raise _NotCarriedError("only a rewrite to a fixed prefix and all that follows can be written here")
        base = target["base"].rstrip("/")
    elif uri.scheme != "unix" and uri.path.rstrip("/") not in ("", base):
        raise _NotCarriedError("versions of oauth2-proxy differ in what they make of the path in its URL")
    url = f"unix:{uri.path}" + (f":{base}" if base else "") if uri.scheme == "unix" else ""
    return _accepted(url or f"{uri.scheme}://{uri.netloc}{base}", each)


def _accepted(url: str, each: _Theirs) -> str:
    if urlsplit(each.uri).query or (each.uri.startswith("unix") and urlsplit(each.uri).netloc):
        raise _NotCarriedError("its address has more in it than a host or a socket, and a path")
    try:
        parse_upstream_url(url)
    except Refused as refused:
        raise _NotCarriedError(refused.message) from None
    return url


def _why_no_prefix(each: _Theirs) -> str:
    if each.rewrite:
        return f"the path {quoted(each.path)} is no prefix with all that follows it, as in ^/render/(.*)$"
    if not each.path.endswith("/"):
        return (
            f"without a '/' at its end {quoted(each.path)} was this one path alone, not what lies below it; here "
            "every tool has a prefix. If all below it is meant, write it with a '/' at its end"
        )
    return f"{quoted(each.path)} cannot be a prefix here"


def _options(each: _Theirs, draft: Draft) -> dict[str, str]:
    options = {}
    if each.timeout is not None:
        timeout = seconds(each.timeout)
        if not timeout or not 0.001 <= timeout <= 3650 * 86_400:
            draft.left("upstreams", f"{each.name} timeout", "this is no time; here a tool may be silent for 30s")
        elif timeout != _DEFAULT_TIMEOUT:
            options["timeout"] = write_duration(timeout)
    if not each.pass_host:
        options["host"] = "upstream"
    if each.insecure and each.uri.startswith("https:"):
        draft.left(
            "upstreams",
            f"{each.name} insecure",
            "the tool's certificate is verified: ca_file names who vouches for it",
        )
    return options


def _close_around(each: _Theirs, carried: dict[str, dict[str, str]], draft: Draft) -> None:
    """What refused everybody a path that is no prefix here must not become open: its tool is closed too."""
    inside = [prefix for prefix in carried if each.rewrite or each.path.startswith(prefix)]
    chosen = inside if each.rewrite else sorted(inside, key=len)[-1:]
    for prefix in chosen:
        url = carried[prefix]["url"]
        if url != NOWHERE:
            carried[prefix] = {"url": NOWHERE}
            draft.to_do(
                "upstreams",
                prefix,
                f"{each.name} refused {quoted(each.path)} to everybody, which cannot be said here, so {prefix} "
                f"leads nowhere. Let the tool refuse it, and then write {url}",
            )


def _legacy(theirs: Theirs) -> Iterator[_Theirs]:
    for number, uri in enumerate(theirs.items("upstreams"), 1):
        name = f"{theirs.name('upstreams')} {number}"
        try:
            parts = urlsplit(uri)
        except ValueError:
            path, static = "/", None
        else:
            path = (parts.scheme == "file" and parts.fragment) or parts.path or "/"
            static = None
            if parts.scheme == "static":
                path, static = "/", int(parts.netloc) if parts.netloc.isdecimal() else 200
            elif parts.scheme == "unix" or "://" not in uri:
                path = "/"
        yield _Theirs(
            name,
            path,
            uri,
            static=static,
            pass_host=theirs.flag("pass_host_header", default=True),
            timeout=theirs.values.get("upstream_timeout"),
            insecure=theirs.flag("ssl_upstream_insecure_skip_verify"),
        )


def _alpha(theirs: Theirs) -> Iterator[_Theirs]:
    config: Any = theirs.alpha.get("upstreamconfig")
    found = config.get("upstreams") if isinstance(config, dict) else theirs.alpha.get("upstreams")
    for number, each in enumerate(found if isinstance(found, list) else [], 1):
        if not isinstance(each, dict):
            continue
        code = str(each.get("staticcode", 200))
        yield _Theirs(
            f"upstreams {number}",
            str(each.get("path") or ""),
            str(each.get("uri") or ""),
            rewrite=str(each.get("rewritetarget") or ""),
            static=(int(code) if code.isdecimal() else 200)
            if as_flag(each.get("static"), default=False)
            else None,
            pass_host=as_flag(each.get("passhostheader"), default=True),
            timeout=each.get("timeout"),
            insecure=as_flag(each.get("insecureskiptlsverify"), default=False),
        )
