"""`oauth-proxy migrate`: an oauth2-proxy configuration as a file of ours, with everything named that it lacks."""

from oauth_proxy.migration.command import migrate

__all__ = ["migrate"]
