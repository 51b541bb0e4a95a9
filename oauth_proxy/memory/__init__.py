"""State shared between processes. It is stored in one of three places: this process, an SQLite file, Redis."""

from oauth_proxy.memory.bell import Bell
from oauth_proxy.memory.memory import Memory, Note
from oauth_proxy.memory.opening import import_home, memory_for
from oauth_proxy.memory.revocations import Revocation, Revocations

__all__ = ["Bell", "Memory", "Note", "Revocation", "Revocations", "import_home", "memory_for"]
