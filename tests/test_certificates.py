"""What a certificate is for, by its own words."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from oauth_proxy.certificates import Certificate, names_for, read_certificate
from tests.support.certificates import Authority

BEGINS, ENDS = datetime(2026, 11, 1, tzinfo=UTC), datetime(2027, 1, 30, tzinfo=UTC)


def certificate(path: Path, *names: x509.GeneralName) -> Certificate:
    """A certificate with these subject alternative names, or none. Its common name is review.example.com."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "review.example.com")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, BEGINS, ENDS)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return read_certificate(path)


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("review.example.com", ("review.example.com", "*.example.com")),
        ("REVIEW.Example.com.", ("review.example.com", "*.example.com")),
        ("a.b.example.com", ("a.b.example.com", "*.b.example.com")),
        ("localhost", ("localhost",)),
        (".example.com", (".example.com",)),
        ("", ("",)),
    ],
)
def test_a_host_is_served_by_its_own_name_or_by_a_wildcard_for_one_label(
    host: str, names: tuple[str, ...]
) -> None:
    assert names_for(host) == names


def test_names_and_addresses_are_those_of_the_extension_and_the_common_name_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.crt"
    assert certificate(path).names == ()
    names = map(x509.DNSName, ["B.example.com", "*.b.example.com", "xn--bcher-kva.example", "b.example.com"])
    found = certificate(path, *names, x509.IPAddress(ip_address("::1")), x509.RFC822Name("jo@example.com"))
    assert found.names == ("b.example.com", "*.b.example.com", "xn--bcher-kva.example")
    assert found.addresses == ("::1",)
    assert found.covers("xn--bcher-kva.example")
    assert found.covers("x.b.example.com")
    assert found.covers("::1")
    assert not found.covers("review.example.com")


def test_a_name_that_no_host_has_is_left_out(tmp_path: Path) -> None:
    odd = map(x509.DNSName, ["a\nERROR b", "*", "f*.example.com", "a.*.example.com", "ok.example.com", " ", ""])
    assert certificate(tmp_path / "a.crt", *odd).names == ("ok.example.com",)


def test_of_a_chain_the_first_certificate_counts(tmp_path: Path) -> None:
    first = certificate(tmp_path / "a.crt", x509.DNSName("a.example.com"))
    certificate(tmp_path / "b.crt", x509.DNSName("b.example.com"))
    with (tmp_path / "a.crt").open("ab") as chain:
        chain.write((tmp_path / "b.crt").read_bytes())
    assert read_certificate(tmp_path / "a.crt") == first


def test_days_are_counted_until_the_end(tmp_path: Path) -> None:
    found = certificate(tmp_path / "a.crt")
    assert (found.begins, found.ends) == (BEGINS, ENDS)
    assert found.days_left(ENDS - timedelta(days=9, seconds=1)) == 9
    assert found.days_left(ENDS - timedelta(hours=1)) == 0
    assert found.days_left(ENDS + timedelta(seconds=1)) == -1


def test_nothing_printable_shows_the_key(tmp_path: Path) -> None:
    Authority().write(tmp_path / "a", "a.example.com")
    assert "key" not in repr(read_certificate(tmp_path / "a.crt"))
