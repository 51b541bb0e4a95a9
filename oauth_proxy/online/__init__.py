"""Whether what the settings name is there and works: Frame.io, the tools, the store, certificates and ports."""

from oauth_proxy.online.everything import checked
from oauth_proxy.online.findings import Finding
from oauth_proxy.online.lookups import LoopThatLetsGo

__all__ = ["Finding", "LoopThatLetsGo", "checked"]
