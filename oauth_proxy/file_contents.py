"""What the files hold that the settings name, read before the workers are forked.

The law: a worker opens none of them at its start. So whatever becomes of a file, who replaces a worker has what
the others have.
"""

import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from time import time
from typing import Self

from oauth_proxy.egress import ToolTls, frameio_tls
from oauth_proxy.email_files import EmailFiles, email_paths
from oauth_proxy.pages import Pages
from oauth_proxy.settings import Settings
from oauth_proxy.site_pages import pages_for
from oauth_proxy.tls import ServerTls


@dataclass(frozen=True, slots=True)
class FileContents:
    """Certificates, authorities, lists, templates and the logo, as parts that are made of them."""

    pages: Pages
    email_files: EmailFiles
    tls: ServerTls | None
    tool_tls: ToolTls
    frameio_tls: ssl.SSLContext | None

    @classmethod
    def of(cls, settings: Settings, wall: Callable[[], float] = time) -> Self:
        """Read them all. `wall` is the time in seconds since the epoch. Raises ConfigurationError."""
        return cls(
            pages_for(settings),
            EmailFiles(email_paths(settings)),
            ServerTls(settings.tls, wall) if settings.tls else None,
            ToolTls(settings.upstreams),
            frameio_tls(settings.frameio),
        )

    def catch_up(self) -> None:
        """Read what another process has read again. Nothing is logged: that one has done so."""
        logging.disable()
        try:
            self.email_files.catch_up()
            if self.tls is not None:
                self.tls.look()
            self.tool_tls.look()
        finally:
            logging.disable(logging.NOTSET)
