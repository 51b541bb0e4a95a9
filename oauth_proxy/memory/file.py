"""The SQLite file of a store: checks whether it may be used, and creates its tables.

The law: a file that cannot be used is refused at the start with a sentence that says why. No file is created that
the proxy could not read.
"""

import errno
import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from oauth_proxy.errors import ConfigurationError, MayPass

VERSION = 1
_APPLICATION = 0x4F504658  # by this number file(1) and SQLite recognise the file
_WAIT = 2.0
"""Seconds to wait for another process that writes."""
_LARGEST_LOG = 16 * 1024 * 1024
"""Bytes that the write-ahead log keeps on disk after a checkpoint has copied it into the file."""

_TABLES = f"""
BEGIN IMMEDIATE;
CREATE TABLE record (
    key TEXT PRIMARY KEY, at REAL NOT NULL, expires REAL NOT NULL, sealed TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX record_expires ON record (expires);
CREATE TABLE ended (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    site TEXT NOT NULL, key TEXT NOT NULL UNIQUE, at REAL NOT NULL, expires REAL NOT NULL, sealed TEXT NOT NULL
);
CREATE INDEX ended_expires ON ended (expires);
CREATE TABLE turn (key TEXT PRIMARY KEY, owner TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE epoch (name TEXT NOT NULL);
INSERT INTO epoch VALUES (hex(randomblob(8)));
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {VERSION};
COMMIT;
"""  # noqa: S608 two constants of ours


class Unusable(Exception):
    """The file or its folder cannot be used as a store; the text says why and what helps."""


_LOGS = ("-wal", "-shm")
"""Suffixes of the files that SQLite writes beside the database file."""


class Identity(NamedTuple):
    """Tells a file apart from another one that replaced it at the same path."""

    device: int
    inode: int


def prepared(path: Path, *, lasting: bool = True) -> None:
    """Make sure that the file exists and can be used. Raises ConfigurationError, and MayPass for a full disk
    and the like.

    A file that another process has locked is no error: it is like a store that cannot be reached for a while.
    Neither is a full disk for a file that ends with the proxy (not `lasting`).
    """
    try:
        with alone(path, lasting=lasting):
            made(path)
            with closing(opened(path)) as database:
                tried(database)
    except Unusable as error:
        raise ConfigurationError([f"session.store: {path}: {error}"]) from None
    except (sqlite3.Error, OSError) as error:
        if not _is_busy(error) and (lasting or not _may_pass(error)):
            problem = f"session.store: {path} cannot be used: {error}"
            raise (MayPass if _may_pass(error) else ConfigurationError)([problem]) from None


@contextmanager
def alone(path: Path, *, lasting: bool) -> Iterator[None]:
    """Inside this context, no other worker makes or removes a file that ends with the proxy (not `lasting`).

    A file that lasts is made and removed by operators, too, whom no lock would keep out.
    """
    if lasting:
        yield
        return
    # A file of its own: what SQLite locks must not be closed here, and the parent has a lock on the folder.
    lock = os.open(_beside(path, "-lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():  # or the next file would be opened with the logs of the one before
            for suffix in _LOGS:
                _beside(path, suffix).unlink(missing_ok=True)
        yield
    finally:
        os.close(lock)


def give_up(path: Path, file: Identity) -> None:
    """Remove the file, unless it was replaced. Who has it open notices; only inside of `alone`.

    Its room is free once all have let go of it, and its logs' once somebody begins a new one.
    """
    if (found := _stat(path)) and _identity(found) == file:
        path.unlink()


def tried(database: sqlite3.Connection) -> None:
    """Do a write that changes nothing, to detect a full or read-only disk. Raises sqlite3.Error."""
    database.execute("UPDATE epoch SET name = name")


def made(path: Path) -> Identity:
    """The file at the path; it is created if missing. Raises Unusable and OSError."""
    _check_folder(path.parent)
    _make(path)
    return _identity(path.stat())


def found(path: Path) -> Identity | None:
    """The file at the path; None if it is missing or empty (somebody truncated it)."""
    found = _stat(path)
    return _identity(found) if found and found.st_size else None


def logs(path: Path) -> list[Identity]:
    """The log files beside the database. They stay the same while any process has it open."""
    return [_identity(found) for suffix in _LOGS if (found := _stat(_beside(path, suffix)))]


def abandon(path: Path, file: Identity, its_logs: Sequence[Identity]) -> None:
    """Remove the remains of a file that was replaced, removed or truncated while it was open.

    Otherwise SQLite would write the old log into whatever file is at the path now.
    """
    beside = [_beside(path, suffix) for suffix in _LOGS]
    for each in (path, *beside):
        if (found := _stat(each)) and _identity(found) in (file, *its_logs):
            each.unlink(missing_ok=True)


def opened(path: Path) -> sqlite3.Connection:
    """A connection to an existing file. Raises Unusable, sqlite3.Error and OSError.

    Every statement is its own transaction (autocommit).
    """
    # Nothing else in this process may open the file: closing it would release SQLite's locks (fcntl(2)).
    database = sqlite3.connect(path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
    try:
        _check_content(database)
        _set_journal(database)
        database.execute("SELECT name FROM epoch").fetchone()  # the first read creates the log files
    except BaseException:
        database.close()
        raise
    return database


def _set_journal(database: sqlite3.Connection) -> None:
    """WAL: readers do not wait for a writer. NORMAL: a commit is written, but not synced unless `_write` asks.

    No page cache, so that changes which others make to the file are noticed soon.
    """
    if database.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
        raise Unusable("it cannot have a write-ahead log there; is this a network drive?")
    database.execute(f"PRAGMA journal_size_limit = {_LARGEST_LOG}")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("PRAGMA cache_size = 0")


def _check_folder(folder: Path) -> None:
    """Refuse a folder in which other users could replace our file with theirs."""
    try:
        found = folder.stat()
    except OSError:
        raise Unusable(f"the folder {folder} is not there") from None
    if not stat.S_ISDIR(found.st_mode):
        raise Unusable(f"{folder} is not a folder")
    if found.st_uid not in (0, os.geteuid()) and os.geteuid() != 0:
        raise Unusable(f"the folder {folder} belongs to somebody else; use one of the user the proxy runs as")
    if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        raise Unusable(f"everybody may write to the folder {folder}, so anybody could replace the file")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Unusable(f"the folder {folder} cannot be written to")


def _make(path: Path) -> None:
    """Create an empty file with its folder's owner and mode, so that the service can use what `revoke` created."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        _check_file(path)
        return
    try:
        folder = path.parent.stat()
        os.fchmod(descriptor, folder.st_mode & 0o660)
        if os.geteuid() == 0 and not folder.st_mode & stat.S_ISVTX:
            os.fchown(descriptor, folder.st_uid, folder.st_gid)
    finally:
        os.close(descriptor)


def _check_file(path: Path) -> None:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise Unusable("it is not a file")
    if found.st_uid != os.geteuid() and path.parent.stat().st_mode & stat.S_IWOTH:
        raise Unusable("the file belongs to somebody else, and anybody could have put it there")
    if not os.access(path, os.R_OK | os.W_OK):
        raise Unusable("the file cannot be read and written by the user the proxy runs as")


def _check_content(database: sqlite3.Connection) -> None:
    """Check that the tables are ours; create them in an empty file."""
    try:
        database.execute("BEGIN")  # one moment of the file: another process may be creating the tables
        [application] = database.execute("PRAGMA application_id").fetchone()
        [version] = database.execute("PRAGMA user_version").fetchone()
        [tables] = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        database.execute("COMMIT")
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            raise Unusable("the file is not a database") from None
        raise
    if not tables and not version and not application:
        _make_tables(database)
    elif application != _APPLICATION:
        raise Unusable("the file is the database of another program")
    elif version > VERSION:
        raise Unusable(
            f"a newer version of the proxy wrote it (format {version}, this version knows {VERSION}); "
            "run that version, or name another file"
        )


def _make_tables(database: sqlite3.Connection) -> None:
    try:
        database.executescript(_TABLES)
    except sqlite3.OperationalError:
        if database.in_transaction:
            database.execute("ROLLBACK")
        # Another process that started at the same moment may have created them.
        if database.execute("PRAGMA user_version").fetchone() == (0,):
            raise


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _identity(stat: os.stat_result) -> Identity:
    return Identity(stat.st_dev, stat.st_ino)


def _is_busy(error: Exception) -> bool:
    return _code(error) == sqlite3.SQLITE_BUSY


def is_full(error: Exception) -> bool:
    """Whether the disk is full, or fails."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)
    return _code(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def _may_pass(error: Exception) -> bool:
    """As `MayPass.fits`. A file that may be used and cannot be opened lacks a descriptor."""
    if isinstance(error, OSError):
        return MayPass.fits(error)
    return is_full(error) or _code(error) == sqlite3.SQLITE_CANTOPEN


def _code(error: Exception) -> int:
    """SQLite's primary result code; 0 for an error of something else."""
    return error.sqlite_errorcode & 0xFF if isinstance(error, sqlite3.OperationalError) else 0
