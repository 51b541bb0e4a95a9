"""Debian's Chromium, as the browser tests have it."""

from tests.browser.conftest import chromium, executable, somebody

__all__ = ["chromium", "executable", "somebody"]
