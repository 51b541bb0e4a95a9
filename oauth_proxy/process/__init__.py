"""The processes of one proxy: a parent that serves nothing, and workers that do."""

from oauth_proxy.process.crew import Forked
from oauth_proxy.process.handed import Given, given_sockets
from oauth_proxy.process.listeners import Listeners
from oauth_proxy.process.parent import Parent
from oauth_proxy.process.private import PrivateFolder
from oauth_proxy.process.supervisor import Supervisor
from oauth_proxy.process.worker import preload, serve

__all__ = [
    "Forked",
    "Given",
    "Listeners",
    "Parent",
    "PrivateFolder",
    "Supervisor",
    "given_sockets",
    "preload",
    "serve",
]
