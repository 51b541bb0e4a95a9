"""The lists of email addresses that stand in files of their own; they are read again when their files change.

The law: a list is always the whole of what some file held. A file that cannot be used changes nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.files import State, state_of
from oauth_proxy.settings import EmailList, EmailsFile, Refused, Settings, read_email_list

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at the files."""
_TRY_AGAIN = 30
"""Looks after which a file that could not be used is tried again, though it looks the same."""


def email_paths(settings: Settings) -> list[Path]:
    """The files whose lists of addresses the rules name, each once."""
    return list(dict.fromkeys(rule.path for rule in settings.rules() if isinstance(rule, EmailsFile)))


class EmailFiles:
    """Reads these files. Raises ConfigurationError if one cannot be used."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.lists: dict[Path, EmailList] = {}
        """What each file holds. Lists are replaced and never changed, so whoever looks one up sees all of it."""
        self._read: dict[Path, State] = {}
        self._seen: dict[Path, State] = {}
        self._refused: dict[Path, str] = {}
        self._looks = 0
        self.follow(paths)

    def follow(self, paths: Iterable[Path]) -> None:
        """Read these files too, from now on. Raises ConfigurationError if one cannot be used."""
        for path in paths:
            if path in self.lists:
                continue
            self._read[path] = state_of(path)  # before it is read: it may change meanwhile
            try:
                self.lists[path] = read_email_list(path)
            except Refused as refused:
                raise ConfigurationError([f"emails_file: {path}: {refused.message}"]) from None

    def look(self) -> bool:
        """Read files that have changed since they were read, and are not changing any more; say whether any did.

        One that was written in two steps would be half a list between them, so a change counts once a second look
        finds the file as the first one did.
        """
        self._looks += 1
        is_news = False
        for path in list(self.lists):
            state, before = state_of(path), self._seen.get(path)
            self._seen[path] = state
            is_due = path in self._refused and self._looks % _TRY_AGAIN == 0
            if state == before and (state != self._read[path] or is_due):
                is_news |= self._read_again(path, state)
        return is_news

    def catch_up(self) -> None:
        """Read files that have changed: another process has seen that they are not changing any more."""
        for path in list(self.lists):
            if (state := state_of(path)) != self._read[path]:
                self._read_again(path, state)

    async def forever(self, tell: Callable[[], None]) -> None:
        """Call `look` every second, in a thread, as a file may be slow to read; `tell` when one was read."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                is_news = await asyncio.to_thread(self.look) if self.lists else False
                if is_news:
                    tell()
            except Exception:  # continue in any case: the next list must be read
                log.exception("a fault of ours while looking for new lists of addresses")

    def _read_again(self, path: Path, state: State) -> bool:
        try:
            found = read_email_list(path)
        except Refused as refused:
            self._read[path] = state
            if self._refused.get(path) != refused.message:
                self._refused[path] = refused.message
                log.warning("%s: %s; the list before it stays in use", path, refused.message)
            return False
        if state_of(path) != state:
            return False  # it changed while it was read: the next looks see that
        self.lists[path] = found
        self._read[path] = state
        self._refused.pop(path, None)
        log.info("%s is read again, %d addresses", path, len(found))
        return True
