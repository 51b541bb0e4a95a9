"""Certificates in files, their authority, and visitors of TLS who say what they saw."""

import socket
import ssl
from datetime import datetime
from pathlib import Path
from typing import cast

import trustme

from tests.support.units import PATIENCE


class Authority:
    """Issues certificates that its visitors trust."""

    def __init__(self) -> None:
        self._issuer = trustme.CA()

    def write(self, stem: Path, *names: str, ends: datetime | None = None, begins: datetime | None = None) -> None:
        """A new certificate and its key, as `stem`.crt and .key. Each takes the place of an older one at once."""
        issued = self._issuer.issue_cert(*names, not_after=ends, not_before=begins)
        chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
        for suffix, content in ((".crt", chain), (".key", issued.private_key_pem.bytes())):
            beside = stem.with_suffix(".new")
            beside.write_bytes(content)
            beside.rename(stem.with_suffix(suffix))

    def pair(self, stem: Path, *names: str) -> dict[str, str]:
        """A new certificate and its key, as an entry of the setting `tls`."""
        self.write(stem, *names)
        return {"cert": f"{stem}.crt", "key": f"{stem}.key"}

    def write_ca(self, path: Path) -> str:
        """Its own certificate, for settings such as `ca_file`; the path as text."""
        self._issuer.cert_pem.write_to_path(str(path))
        return str(path)

    def trusting(self, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """What its visitors speak: this version alone, if it is given."""
        context = ssl.create_default_context()
        context.check_hostname = False  # tests look at the names
        self._issuer.configure_trust(context)
        if version:
            context.minimum_version = context.maximum_version = version
        return context


class Visit:
    """A connection to a port of this machine, on which TLS has been agreed, with this server name or none."""

    def __init__(
        self, port: int, context: ssl.SSLContext, name: str | None = None, session: ssl.SSLSession | None = None
    ) -> None:
        sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._tls = context.wrap_socket(sock, server_hostname=name, session=session)
        certificate = cast("dict[str, tuple[tuple[str, str], ...]]", self._tls.getpeercert())
        self.names = [name for _, name in certificate["subjectAltName"]]
        self.serial = str(certificate["serialNumber"])

    def asks(self, *lines: str) -> bytes:
        """What comes first to a request; a ticket of TLS 1.3 comes before it."""
        self._tls.sendall("\r\n".join(["GET /healthz HTTP/1.1", *(lines or ["Host: x"]), "", ""]).encode())
        return self._tls.recv(1 << 16)

    def leaves(self) -> ssl.SSLSession | None:
        """End the connection; returns the session, to be resumed."""
        session = self._tls.session
        self._tls.close()
        return session

    @property
    def resumed(self) -> bool | None:
        return self._tls.session_reused


def replace_link(link: Path, target: str) -> None:
    """Let a symlink point elsewhere, in one step."""
    beside = link.with_name("beside")
    beside.symlink_to(target)
    beside.replace(link)
