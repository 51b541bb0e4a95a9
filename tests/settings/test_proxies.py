"""HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment."""

import pytest

from oauth_proxy.settings import Proxy
from oauth_proxy.settings.problems import Refused
from oauth_proxy.settings.proxies import read_proxies
from tests.support.configuration import file, problems, read

URL = "https://api.frameio.example/v4/me"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://proxy.example.com:3128", Proxy("http://proxy.example.com:3128")),
        ("proxy.example.com:3128", Proxy("http://proxy.example.com:3128")),
        ("HTTPS://Proxy.example.com/", Proxy("https://proxy.example.com:443")),
        ("http://jo:p%40ss@10.0.0.1", Proxy("http://10.0.0.1:80", "jo", "p@ss")),
        ("http://[fd00::1]:8080", Proxy("http://[fd00::1]:8080")),
    ],
)
def test_a_proxy_is_read_and_its_credentials_stand_apart(text: str, expected: Proxy) -> None:
    assert read_proxies({"HTTPS_PROXY": text}).of(URL) == expected
    assert "p@ss" not in repr(read_proxies({"HTTPS_PROXY": text}))


@pytest.mark.parametrize(
    "text", ["socks5://proxy:1080", "http://:3128", "http://proxy:port", "http://a b", "http://j%3Ao:x@proxy"]
)
def test_what_is_no_proxy_we_can_ask_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(Refused) as refused:
        read_proxies({"HTTPS_PROXY": text})
    assert text not in refused.value.message


def test_a_proxy_we_cannot_ask_is_a_problem_of_the_configuration() -> None:
    [only] = problems(file(), {"https_proxy": "socks5://jo:secret@proxy:1080"})
    assert only.endswith("HTTPS_PROXY is no proxy such as http://proxy.example.com:3128 (or https://)")
    assert "secret" not in only


def test_each_scheme_has_its_own_and_lower_case_comes_first() -> None:
    environ = {"HTTPS_PROXY": "http://a:1", "https_proxy": "http://b:1", "HTTP_PROXY": "http://c:1"}
    found = read_proxies(environ)
    assert found.of(URL) == Proxy("http://b:1")
    assert found.of("http://api.frameio.example/") == Proxy("http://c:1")
    assert read_proxies({**environ, "https_proxy": ""}).of(URL) is None
    assert read_proxies({}).of(URL) is None


@pytest.mark.parametrize(
    ("without", "direct"),
    [
        ("", False),
        ("*", True),
        ("api.frameio.example", True),
        ("frameio.example", True),
        (" other.example , .frameio.example", True),
        ("FrameIO.Example", True),
        ("o.example", False),
        ("api.frameio.example.org", False),
        ("x.api.frameio.example", False),
        (",", False),
    ],
)
def test_no_proxy_names_hosts_and_their_subdomains_by_whole_labels(without: str, direct: bool) -> None:
    found = read_proxies({"HTTPS_PROXY": "http://a:1", "NO_PROXY": without})
    assert (found.of(URL) is None) is direct


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "127.8.8.8"])
def test_this_machine_is_asked_without_a_proxy(host: str) -> None:
    environ = {"HTTP_PROXY": "http://a:1", "HTTPS_PROXY": "http://a:1"}
    for scheme in ("http", "https"):
        assert read_proxies(environ).of(f"{scheme}://{host}:5000/x") is None


def test_the_settings_know_the_proxies_of_the_environment() -> None:
    settings = read(file(), {"HTTPS_PROXY": "http://a:1"})
    assert settings.frameio.proxies.of(URL) == Proxy("http://a:1")
    assert read(file()).frameio.proxies.of(URL) is None
