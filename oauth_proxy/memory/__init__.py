"""What processes know together, in one of three homes: the process, a file, Redis."""

from oauth_proxy.memory.ends import End, Ends
from oauth_proxy.memory.memory import Memory, Note
from oauth_proxy.memory.opening import memory_for

__all__ = ["End", "Ends", "Memory", "Note", "memory_for"]
