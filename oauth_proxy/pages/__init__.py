"""The pages a visitor sees: sign-in, signed out, not allowed, error."""

from oauth_proxy.pages.render import Page, Pages

__all__ = ["Page", "Pages"]
