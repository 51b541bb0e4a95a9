"""A certificate and its private key in PEM files: for which names, how long, and whether they belong together.

cryptography's part for certificates is imported where one is read: it takes a tenth of a start, and most proxies
have none.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes, PublicKeyTypes
    from cryptography.x509 import Certificate as Parsed

_LARGEST_FILE = 1024 * 1024
_NAME = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")


class Unusable(Exception):
    """A certificate or key that cannot be used; its text is the reason, and repeats nothing of the file."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the first certificate of a file says.

    `names` are domain names in lower case, non-ASCII labels as A-labels; `*.example.com` is a wildcard.
    `addresses` are IP addresses. It is valid from `begins` to `ends`, both in UTC.
    """

    names: tuple[str, ...]
    addresses: tuple[str, ...]
    begins: datetime
    ends: datetime
    public_key: bytes = field(repr=False)

    def covers(self, host: str) -> bool:
        """Whether a browser takes it for this host: a domain name, or an IP address without brackets."""
        return host in self.addresses or any(name in self.names for name in names_for(host))

    def days_left(self, now: datetime) -> int:
        """Whole days until it ends; negative if that is past."""
        return (self.ends - now).days


def names_for(host: str) -> tuple[str, ...]:
    """The names in a certificate that serve this host, the best one first.

    They are the host itself, and a wildcard for its first label and for no more (RFC 9525 6.3).
    """
    host = host.lower().removesuffix(".")
    label, dot, parent = host.partition(".")
    return (host, f"*.{parent}") if label and dot else (host,)


def read_certificate(path: Path) -> Certificate:
    """The first certificate of this file, which is the server's own. Raises Unusable."""
    from cryptography import x509

    try:
        first = x509.load_pem_x509_certificates(_content(path))[0]
        public_key = first.public_key()
    except ValueError:
        raise Unusable("the file holds no certificate in PEM") from None
    except UnsupportedAlgorithm:
        raise Unusable("the certificate has a key of an unknown kind") from None
    names, addresses = _subjects(first)
    return Certificate(names, addresses, first.not_valid_before_utc, first.not_valid_after_utc, _der(public_key))


def require_key_of(certificate: Certificate, path: Path) -> None:
    """Raises Unusable unless this file holds the private key of this certificate, unencrypted."""
    from cryptography.hazmat.primitives import serialization

    try:
        # Whether an RSA key's primes are primes is not asked: that takes up to 0.6 s of CPU time for each key.
        key = serialization.load_pem_private_key(_content(path), None, unsafe_skip_rsa_key_validation=True)
        public_key = _der(key.public_key())
    except TypeError:
        raise Unusable(
            "the key is encrypted, and nobody is there to type its password; decrypt the file"
        ) from None
    except ValueError:
        raise Unusable("the file holds no private key in PEM") from None
    except UnsupportedAlgorithm:
        raise Unusable("the key is of an unknown kind") from None
    if public_key != certificate.public_key:
        raise Unusable("the key is not that of the certificate")


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_FILE)
    except OSError as error:
        raise Unusable(
            f"the file cannot be read: {(error.strerror or 'the system gives no reason').lower()}"
        ) from None


def _der(key: "CertificatePublicKeyTypes | PublicKeyTypes") -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _subjects(certificate: "Parsed") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Its names and addresses; the common name is none of them, because no browser looks at it (RFC 9525 2)."""
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        return (), ()
    names = dict.fromkeys(name.lower() for name in found.get_values_for_type(x509.DNSName))
    addresses = found.get_values_for_type(x509.IPAddress)
    return tuple(filter(_NAME.fullmatch, names)), tuple(map(str, addresses))
