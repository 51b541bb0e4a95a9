"""On which kind of file system a path lies, as far as the system tells (Linux), and whether there is room."""

import os
from pathlib import Path

from oauth_proxy.memory.home import Hazard

_MOUNTS = Path("/proc/self/mountinfo")
_ROOM = 1024 * 1024
"""A disk with fewer bytes left counts as full."""
_REMOTE = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "9p", "afs", "ceph", "ncpfs", "lustre", "beegfs"),
        *("gfs2", "ocfs2", "virtiofs", "vboxsf", "vmhgfs", "drvfs"),
    )
)
_REMOTE_BY_FUSE = (
    "sshfs",
    "glusterfs",
    "ceph",
    "s3fs",
    "gcsfuse",
    "blobfuse",
    "rclone",
    "davfs",
    "vmhgfs",
    "juicefs",
)


def remote_filesystem(path: Path) -> str | None:
    """The name of the file system at this path if other machines have it too; None if not, or if nobody tells.

    The path need not be there, but its folder.
    """
    try:
        device = (path if path.exists() else path.parent).stat().st_dev
        mounts = _MOUNTS.read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    where = f"{os.major(device)}:{os.minor(device)}"
    for mount in mounts:
        before, _, after = mount.partition(" - ")  # proc(5): a "-" ends the optional fields
        kind = after.split(" ")[0]
        if before.split(" ")[2:3] == [where] and _is_remote(kind):
            return kind
    return None


def remote_filesystem_hazard(path: Path) -> Hazard | None:
    """What it means for a store that its file lies there; None if it is on a disk of this machine's."""
    kind = remote_filesystem(path)
    if kind is None:
        return None
    return Hazard(
        f"lies on a network's file system ({kind}), where SQLite's locks do not hold.",
        "Name a file on a disk of this machine; for several machines, a Redis.",
    )


def full_disk_hazard(path: Path) -> Hazard | None:
    """What it means for a file at this path that its disk is full; None if there is room, or nobody tells.

    The path need not be there, but its folder. What is kept for root does not count.
    """
    try:
        left = room(path)
    except OSError:
        return None
    if left is None or left >= _ROOM:
        return None
    return Hazard(
        f"lies on a disk with hardly any room: {left // 1024} KiB are left.",
        f"Make room on the disk of {path.parent} (df {path.parent}); the proxy notices by itself.",
    )


def room(path: Path) -> int | None:
    """Bytes that are left where this path lies, without what is kept for root; None if there is no limit.

    The path need not be there, but its folder. Raises OSError.
    """
    disk = os.statvfs(path.parent)
    if not disk.f_blocks:  # a tmpfs with size=0
        return None
    return disk.f_bavail * disk.f_frsize


def _is_remote(kind: str) -> bool:
    bare = kind.removeprefix("fuse.")
    return kind in _REMOTE or (bare != kind and bare.startswith(_REMOTE_BY_FUSE))
