"""State shared between processes. It is stored in one of three places: this process, an SQLite file, Redis."""

from oauth_proxy.memory.bell import Bell
from oauth_proxy.memory.memory import Memory, Note
from oauth_proxy.memory.opening import home_for, import_home, memory_for
from oauth_proxy.memory.place import full_disk_hazard, remote_filesystem_hazard
from oauth_proxy.memory.revocations import Revocation, Revocations
from oauth_proxy.memory.survey import NotReached, Survey, surveyed

__all__ = [
    "Bell",
    "Memory",
    "NotReached",
    "Note",
    "Revocation",
    "Revocations",
    "Survey",
    "full_disk_hazard",
    "home_for",
    "import_home",
    "memory_for",
    "remote_filesystem_hazard",
    "surveyed",
]
