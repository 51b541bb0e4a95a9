"""The client for Frame.io's two APIs, v2 and v4. Only this package knows Frame.io's addresses and JSON fields."""

from oauth_proxy.provider.api import Api, Memberships
from oauth_proxy.provider.base import Provider
from oauth_proxy.provider.tokens import LOGIN
from oauth_proxy.provider.v2 import V2
from oauth_proxy.provider.v4 import V4

APIS = {api.name: api for api in (V2, V4)}

__all__ = ["APIS", "LOGIN", "Api", "Memberships", "Provider"]
