"""URLs, hosts, networks and paths: what is read, and what is refused because it could be read in two ways."""

import pytest

from oauth_proxy.settings import Listen, UpstreamUrl, parse_domain
from oauth_proxy.settings.addresses import (
    parse_network,
    parse_path_prefix,
    parse_plain_path,
    parse_public_url,
    parse_upstream_url,
    parse_url,
)
from oauth_proxy.settings.listeners import parse_listener_text
from oauth_proxy.settings.problems import Refused


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:4180", Listen("127.0.0.1", 4180)),
        ("[::1]:4180", Listen("::1", 4180)),
        ("localhost:0", Listen("localhost", 0)),
        ("unix:/run/oauth-proxy.sock", Listen(path="/run/oauth-proxy.sock")),
    ],
)
def test_a_listener_is_read_and_written_back(text: str, expected: Listen) -> None:
    assert parse_listener_text(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("4180", "127.0.0.1:4180"),
        (":4180", "127.0.0.1:4180"),
        ("::1:4180", "[::1]:4180"),
        ("127.0.0.1", None),
        ("127.0.0.1:65536", None),
        ("127.0.0.1:http", None),
        ("[::g]:80", None),
        ("[localhost]:80", None),
        ("a b:80", None),
        ("unix:relative.sock", None),
        ("unix:/run/", None),
        ("unix:/" + 107 * "x", None),
        ("", None),
    ],
)
def test_a_listener_that_is_not_one_is_refused(text: str, suggestion: str | None) -> None:
    with pytest.raises(Refused) as refused:
        parse_listener_text(text)
    assert refused.value.suggestion == suggestion


@pytest.mark.parametrize(
    ("text", "expected", "authority"),
    [
        ("http://127.0.0.1:3000", UpstreamUrl("http", "127.0.0.1", 3000), "127.0.0.1:3000"),
        ("https://api.frame.io", UpstreamUrl("https", "api.frame.io", 443), "api.frame.io"),
        ("http://my_tool/base", UpstreamUrl("http", "my_tool", 80, base="/base"), "my_tool"),
        ("http://[::1]:8080/a/b", UpstreamUrl("http", "::1", 8080, base="/a/b"), "[::1]:8080"),
        ("unix:/run/tool.sock", UpstreamUrl("unix", socket="/run/tool.sock"), "localhost"),
        ("unix:/run/tool.sock:/base", UpstreamUrl("unix", socket="/run/tool.sock", base="/base"), "localhost"),
    ],
)
def test_an_upstream_is_read_and_written_back(text: str, expected: UpstreamUrl, authority: str) -> None:
    assert parse_upstream_url(text) == expected
    assert str(expected) == text
    assert expected.authority == authority


def test_the_case_the_default_port_and_the_last_slash_of_a_url_make_no_difference() -> None:
    assert parse_upstream_url("HTTPS://API.Frame.io:443/") == parse_upstream_url("https://api.frame.io")


@pytest.mark.parametrize(
    ("text", "message", "suggestion"),
    [
        ("127.0.0.1:3000", "a URL begins with http:// or https://", "http://127.0.0.1:3000"),
        ("tool.example.com", "a URL begins with http:// or https://", "https://tool.example.com"),
        ("not a url:", "a URL begins with http:// or https://", None),
        ("tool", "a URL begins with http:// or https://", None),
        ("ftp://host", "a URL here begins with http:// or https://", None),
        ("http://user:pass@host", "a URL here has no user name or password in it", None),
        ("http://host/?a=b", "a URL here has no query and no fragment", None),
        ("http://host/#a", "a URL here has no query and no fragment", None),
        ("http://host?a=b", "this is not a URL such as https://host or http://host:3000", None),
        ("http://", "this is not a URL such as https://host or http://host:3000", None),
        ("http://host:0", "a port is a number from 1 to 65535", None),
        ("http://host:65536", "a port is a number from 1 to 65535", None),
        ("http://host:port", "this is not a URL such as https://host or http://host:3000", None),
        ("http://a..b", "a domain name is wanted, such as studio.example.com", None),
        ("http://host/a//b", "a path has no '//', '/./' or '/../' in it", None),
        ("http://host/a/../b", "a path has no '//', '/./' or '/../' in it", None),
        (
            "http://host/%2e",
            "a path is written plainly: letters, digits and -._~!$&'()*+,:@= without escapes",
            None,
        ),
        ("http://[fe80::1%25eth0]/", "this is not a URL such as https://host or http://host:3000", None),
        ("unix:tool.sock", "a Unix socket is written unix:/path.sock or unix:/path.sock:/base", None),
        ("unix:/run/tool.sock:base", "a path begins with '/'", "/base"),
    ],
)
def test_an_upstream_that_could_be_read_in_two_ways_is_refused(
    text: str, message: str, suggestion: str | None
) -> None:
    with pytest.raises(Refused) as refused:
        parse_upstream_url(text)
    assert (refused.value.message, refused.value.suggestion) == (message, suggestion)


def test_a_url_of_frame_io_is_kept_as_text_without_its_last_slash() -> None:
    assert parse_url("https://staging.example.com/oauth2/token/") == "https://staging.example.com/oauth2/token"


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://Review.Example.com/", "https://review.example.com"),
        ("https://review.example.com:443", "https://review.example.com"),
        ("https://review.example.com:8443", "https://review.example.com:8443"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("http://localhost:4180", "http://localhost:4180"),
        ("http://127.0.0.1:4180", "http://127.0.0.1:4180"),
        ("http://[::1]:4180", "http://[::1]:4180"),
    ],
)
def test_the_public_url_is_an_origin(text: str, origin: str) -> None:
    assert parse_public_url(text) == origin


@pytest.mark.parametrize(
    "host", ["review.example.com", "localhost.example.com", "127.0.0.1.example.com", "10.0.0.1"]
)
def test_the_public_url_may_be_http_on_this_machine_only(host: str) -> None:
    with pytest.raises(
        Refused, match="the public URL must be https: over http, sign-in cookies can be read"
    ) as refused:
        parse_public_url(f"http://{host}")
    assert refused.value.suggestion == f"https://{host}"


def test_the_public_url_has_no_path() -> None:
    with pytest.raises(Refused, match="the public URL has no path") as refused:
        parse_public_url("https://example.com/review/")
    assert refused.value.suggestion == "https://example.com"


@pytest.mark.parametrize("text", ["10.0.0.0/8", "2001:db8::/32", "10.0.0.7/32"])
def test_a_network_is_an_address_or_a_range(text: str) -> None:
    assert str(parse_network(text)) == text


def test_a_range_with_host_bits_is_refused_with_the_range_that_was_meant() -> None:
    with pytest.raises(Refused) as refused:
        parse_network("10.1.2.3/8")
    assert refused.value.suggestion == "10.0.0.0/8"


def test_a_name_is_not_a_network() -> None:
    with pytest.raises(Refused) as refused:
        parse_network("proxy.example.com")
    assert refused.value.suggestion is None


@pytest.mark.parametrize("path", ["/a;b", "/a?b", "/a#b", "/a%20b", "/a\\b", "/a b", "/é", "/a\x00"])
def test_a_path_that_servers_read_differently_is_refused(path: str) -> None:
    with pytest.raises(Refused):
        parse_plain_path(path)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Studio.Example.COM", "studio.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
    ],
)
def test_a_domain_is_folded(text: str, folded: str) -> None:
    assert parse_domain(text) == folded


@pytest.mark.parametrize(
    "text",
    [
        "straße.example",  # would become strasse.example, somebody else's domain
        "βόλος.example",
        "studio\u200d.example",
        "ｓtudio.example",
        "studio。example",
        "\u212aelvin.example",
        "studio..example",
        ".example",
        "-a.example",
        "a b.example",
        "a" * 64 + ".example",
        "é" * 300,
        "é..example",
        "xn--é.example",
        "אa.example",
        "a." * 130 + "example",
        "",
    ],
)
def test_a_domain_that_folding_would_turn_into_another_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="a domain name is wanted"):
        parse_domain(text)


@pytest.mark.parametrize("text", ["/", "/render/", "/a/b-c/"])
def test_a_prefix_is_a_folder(text: str) -> None:
    assert parse_path_prefix(text) == text


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("/render", "/render/"),
        ("render/", "/render/"),
        ("/a//", None),
        ("/../", None),
        ("/%61/", None),
        ("/oauth2/", None),
        ("/oauth2/x/", None),
    ],
)
def test_a_prefix_that_is_not_a_plain_folder_of_the_tool_is_refused(text: str, suggestion: str | None) -> None:
    with pytest.raises(Refused) as refused:
        parse_path_prefix(text)
    assert refused.value.suggestion == suggestion
