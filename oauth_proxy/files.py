"""What a file is like right now, so that a change of it is noticed without reading it."""

from pathlib import Path

State = tuple[int, ...] | None


def state_of(path: Path) -> State:
    """What differs once the file, or a symlink on the way to it, was replaced or written; None without a file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
