"""Debian has no Traefik, so only `make e2e` runs its recipes: here the form is held to what Traefik documents."""

import re
from typing import Any

import pytest
import yaml

from oauth_proxy.cookies import MOST_PIECES
from tests.support.places import CONFIG

FILE = CONFIG / "traefik-forward-auth.yaml"
ROUTER = {"entryPoints", "rule", "priority", "middlewares", "service", "tls"}
OPTIONS = {
    "forwardAuth": {
        "address",
        "addAuthCookiesToResponse",
        "authRequestHeaders",
        "authResponseHeaders",
        "authResponseHeadersRegex",
        "trustForwardHeader",
    },
    "errors": {"status", "service", "query"},
    "headers": {"customRequestHeaders", "customResponseHeaders"},
}
"""The middlewares' options, as documented for Traefik 3, as far as a recipe of ours may need them."""
MATCHER = re.compile(r"(?:Host|Path|Method|Header)\((?:`[^`]+`(?:, )?)+\)")


@pytest.fixture
def recipe() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
    assert set(content) == {"http"}
    assert set(content["http"]) == {"routers", "middlewares", "services"}
    return dict(content["http"])


def test_every_router_names_what_there_is(recipe: dict[str, Any]) -> None:
    for name, router in recipe["routers"].items():
        assert set(router) <= ROUTER, name
        assert router["service"] in recipe["services"]
        assert set(router.get("middlewares", [])) <= set(recipe["middlewares"])
        assert not re.sub(r"[&|() ]", "", MATCHER.sub("", router["rule"])), router["rule"]
        assert ("tls" in router) == (router["entryPoints"] == ["websecure"])


def test_every_middleware_has_options_that_traefik_documents(recipe: dict[str, Any]) -> None:
    for name, middleware in recipe["middlewares"].items():
        ((kind, options),) = middleware.items()
        assert set(options) <= OPTIONS[kind], name
    assert recipe["middlewares"]["sign-in"]["errors"]["service"] in recipe["services"]


def test_no_request_for_the_tool_goes_round_the_question(recipe: dict[str, Any]) -> None:
    to_tool = [router for router in recipe["routers"].values() if router["service"] == "tool"]
    assert to_tool
    for router in to_tool:
        assert router["middlewares"][0] == "not-the-browsers"
        assert router["middlewares"][-1] == "signed-in"


def test_the_token_is_told_on_the_private_entry_point_only(recipe: dict[str, Any]) -> None:
    for name, router in recipe["routers"].items():
        is_public = router["entryPoints"] != ["oauth-proxy"]
        assert ("/oauth2/auth" in router["rule"]) != is_public, name
        assert "PathPrefix" not in router["rule"]
    assert recipe["middlewares"]["signed-in"]["forwardAuth"]["address"].startswith("http://127.0.0.1:")


def test_every_cookie_that_a_session_may_fill_gets_back_to_the_browser(recipe: dict[str, Any]) -> None:
    copied = recipe["middlewares"]["signed-in"]["forwardAuth"]["addAuthCookiesToResponse"]
    session = ["__Host-oauth_proxy", *(f"__Host-oauth_proxy-{number}" for number in range(1, MOST_PIECES))]
    assert copied == [*session, "__Host-oauth_proxy-tries"]
