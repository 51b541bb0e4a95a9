"""The provider calls that sessions need."""

from typing import Protocol

from oauth_proxy.identity import Identity, Tokens


class Refreshing(Protocol):
    """Keeps tokens and profiles up to date."""

    async def refresh(self, tokens: Tokens, *, owner: str) -> Tokens:
        """Exchange the refresh token for new tokens (RFC 6749, section 6)."""
        ...

    async def profile(self, access_token: str, *, owner: str) -> Identity:
        """The user to whom the access token belongs."""
        ...


class Revoking(Protocol):
    """Ends grants on sign-out."""

    async def revoke(self, tokens: Tokens) -> None:
        """Revoke the tokens."""
        ...
