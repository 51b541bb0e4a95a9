"""What sessions need of the provider."""

from typing import Protocol

from oauth_proxy.identity import Identity, Tokens


class Refreshing(Protocol):
    """To keep tokens and profiles fresh."""

    async def refresh(self, tokens: Tokens, *, owner: str) -> Tokens:
        """Successor tokens."""
        ...

    async def profile(self, access_token: str, *, owner: str) -> Identity:
        """Who the bearer is."""
        ...


class Revoking(Protocol):
    """To sign out."""

    async def revoke(self, tokens: Tokens) -> None:
        """End the grant."""
        ...
