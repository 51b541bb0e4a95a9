"""Frame.io, in both of its dialects. Its addresses and JSON fields stand in this room and nowhere else."""

from oauth_proxy.provider.api import Api, Memberships
from oauth_proxy.provider.base import Provider
from oauth_proxy.provider.tokens import LOGIN
from oauth_proxy.provider.v2 import V2
from oauth_proxy.provider.v4 import V4

APIS = {api.name: api for api in (V2, V4)}

__all__ = ["APIS", "LOGIN", "Api", "Memberships", "Provider"]
