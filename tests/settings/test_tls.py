"""The setting `tls`: one certificate or a list, what is refused, and what is worth a note."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from oauth_proxy.settings import effective, notes
from tests.support.certificates import Authority
from tests.support.configuration import QUIET, file, problems, read

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two certificates with their keys, and files that are neither."""
    for stem in ("a", "b"):
        Authority().write(tmp_path / stem, f"{stem}.example.com")
    (tmp_path / "text").write_text("no PEM at all")
    key = serialization.load_pem_private_key((tmp_path / "a.key").read_bytes(), None)
    sealing = serialization.BestAvailableEncryption(b"a password")
    for name, form in (
        ("sealed.key", serialization.PrivateFormat.PKCS8),
        ("old-sealed.key", serialization.PrivateFormat.TraditionalOpenSSL),
    ):
        (tmp_path / name).write_bytes(key.private_bytes(serialization.Encoding.PEM, form, sealing))
    return tmp_path


def in_effect(folder: Path, setting: str) -> object:
    return yaml.safe_load(effective(read(file(extra=f"tls: {setting}"), folder=folder)))["tls"]


def test_one_certificate_needs_no_list_and_takes_tls_1_2(folder: Path) -> None:
    pair = {"cert": str(folder / "a.crt"), "key": str(folder / "a.key")}
    assert in_effect(folder, "{cert: a.crt, key: a.key}") == [{**pair, "min_version": 1.2}]
    assert in_effect(folder, "{cert: a.crt, key: a.key, min_version: '1.3'}") == [{**pair, "min_version": 1.3}]
    assert in_effect(folder, "[{cert: a.crt, key: a.key}]") == [{**pair, "min_version": 1.2}]


def test_key_and_certificate_may_stand_in_one_file(folder: Path) -> None:
    (folder / "both.pem").write_bytes((folder / "a.key").read_bytes() + (folder / "a.crt").read_bytes())
    assert in_effect(folder, "{cert: both.pem, key: both.pem}")


def test_a_key_may_have_its_parameters_before_it_as_openssl_writes_it(folder: Path) -> None:
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    (folder / "a.key").write_text(parameters + (folder / "a.key").read_text())
    assert in_effect(folder, "{cert: a.crt, key: a.key}")


@pytest.mark.parametrize(
    ("setting", "lines"),
    [
        ("{cert: a.crt, key: b.key}", ["25: the key is not that of the certificate"]),
        ("{key: b.key, cert: a.crt}", ["12: the key is not that of the certificate"]),
        ("{cert: text, key: a.key}", ["13: the file holds no certificate in PEM"]),
        ("{cert: a.key, key: a.key}", ["13: the file holds no certificate in PEM"]),
        ("{cert: a.crt, key: text}", ["25: the file holds no private key in PEM"]),
        ("{cert: a.crt, key: a.crt}", ["25: the file holds no private key in PEM"]),
        ("{cert: a.crt, key: none}", ["25: the file cannot be read: no such file or directory"]),
        ("{cert: ., key: none}", [
            "13: the file cannot be read: is a directory",
            "21: the file cannot be read: no such file or directory",
        ]),
        ("{cert: a.crt, key: sealed.key}", [
            "25: the key is encrypted, and nobody is there to type its password; decrypt the file",
        ]),
        ("{cert: a.crt, key: old-sealed.key}", [
            "25: the key is encrypted, and nobody is there to type its password; decrypt the file",
        ]),
        ("[{cert: a.crt, key: a.key}, {cert: b.crt, key: a.key}]", ["53: the key is not that of the certificate"]),
        ("{cert: a.crt}", ["1: 'tls.key' is missing"]),
        ("[{cert: a.crt}]", ["7: 'tls[0].key' is missing"]),
        ("{cert: a.crt, kye: a.key}", ["20: unknown key 'kye' (did you mean 'key'?)"]),
        ("[{cert: a.crt, kye: a.key}]", ["21: unknown key 'kye' (did you mean 'key'?)"]),
        ("[]", ["6: at least one is needed here"]),
        ("a.crt", ["6: two files are wanted here: {cert: tls.crt, key: tls.key}, or a list of such"]),
        ("[a.crt]", ["7: keys with values are wanted here, not a single value"]),
        ("{cert: a.crt, key: a.key, min_version: TLSv1.3}", [
            "45: the oldest version of TLS to accept is 1.2 or 1.3 (did you mean 1.3?)",
        ]),
        ("{cert: a.crt, key: a.key, min_version: 1.1}", ["45: the oldest version of TLS to accept is 1.2 or 1.3"]),
        ("[{cert: a.crt, key: a.key}, {cert: b.crt, key: b.key, min_version: 1.3}]", [
            "6: min_version holds for all names, so it stands with the first certificate alone",
        ]),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told_at_its_place(folder: Path, setting: str, lines: list[str]) -> None:
    assert problems(file(extra=f"tls: {setting}"), folder=folder) == [f"6:{line}" for line in lines]


def test_a_file_that_may_not_be_read_is_told_at_its_place(folder: Path) -> None:
    (folder / "loop.key").symlink_to("loop.key")
    assert problems(file(extra="tls: {cert: a.crt, key: loop.key}"), folder=folder) == [
        "6:25: the file cannot be read: too many levels of symbolic links"
    ]


def said(folder: Path, setting: str, public_url: str = "https://review.example.com") -> list[str]:
    """The notes on this setting of tls, in a file that has no other."""
    text = file(**QUIET, public_url=f"public_url: {public_url}", extra=f"tls: {setting}")
    return notes(read(text, folder=folder), NOW)


ONE = "{cert: a.crt, key: a.key}"
TWO = "[{cert: a.crt, key: a.key}, {cert: b.crt, key: b.key}]"


@pytest.mark.parametrize(
    ("names", "host"),
    [
        (["review.example.com"], "review.example.com"),
        (["other.example.com", "*.example.com"], "review.example.com"),
        (["*.EXAMPLE.com"], "Review.Example.com:8443"),
        (["bücher.example"], "bücher.example"),
        (["127.0.0.1"], "127.0.0.1:4180"),
        (["::1"], "[::1]:4180"),
    ],
)
def test_a_certificate_for_the_public_host_is_not_commented_on(
    tmp_path: Path, names: list[str], host: str
) -> None:
    Authority().write(tmp_path / "a", *names)
    assert said(tmp_path, ONE, f"https://{host}") == []


@pytest.mark.parametrize(
    ("names", "host"),
    [
        (["other.example.com"], "review.example.com"),
        (["*.example.com"], "example.com"),
        (["*.example.com"], "a.review.example.com"),
        (["10.0.0.1"], "10.0.0.2"),
    ],
)
def test_a_public_host_that_no_certificate_is_for_is_noted(tmp_path: Path, names: list[str], host: str) -> None:
    Authority().write(tmp_path / "a", *names)
    assert said(tmp_path, ONE, f"https://{host}") == [
        f"No certificate of tls is for {host}, the host of public_url: browsers refuse it."
    ]


def test_of_a_list_any_certificate_may_be_for_the_public_host(folder: Path) -> None:
    assert said(folder, TWO, "https://b.example.com") == []


def test_a_name_in_two_certificates_is_noted(tmp_path: Path) -> None:
    Authority().write(tmp_path / "a", "review.example.com", "a.example.com")
    Authority().write(tmp_path / "b", "b.example.com", "REVIEW.example.com")
    assert said(tmp_path, TWO) == [
        f"review.example.com stands in {tmp_path / 'b.crt'} too: who asks for it gets the first one, "
        f"{tmp_path / 'a.crt'}."
    ]


@pytest.mark.parametrize(
    ("begins", "ends", "note"),
    [
        (-90, -0.01, "expired on 23 November 2026"),
        (-90, -1, "expired on 22 November 2026"),
        (2, 90, "is not valid before 25 November 2026"),
    ],
)
def test_a_certificate_out_of_its_time_is_noted(tmp_path: Path, begins: float, ends: float, note: str) -> None:
    times = {"begins": NOW + timedelta(days=begins), "ends": NOW + timedelta(days=ends)}
    Authority().write(tmp_path / "a", "review.example.com", **times)
    assert said(tmp_path, ONE) == [f"The certificate in {tmp_path / 'a.crt'} {note}: browsers refuse it."]
    assert notes(read(file(**QUIET, extra=f"tls: {ONE}"), folder=tmp_path), NOW - timedelta(days=2)) == (
        [] if ends < 0 else [f"The certificate in {tmp_path / 'a.crt'} {note}: browsers refuse it."]
    )


def test_a_certificate_that_went_after_the_settings_were_read_is_no_fault(folder: Path) -> None:
    settings = read(
        file(**QUIET, public_url="public_url: https://b.example.com", extra=f"tls: {TWO}"), folder=folder
    )
    (folder / "a.crt").unlink()
    assert notes(settings, NOW) == []


def test_the_key_of_another_kind_is_not_that_of_the_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    form, sealing = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "b.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, sealing))
    assert problems(file(extra="tls: {cert: b.crt, key: b.key}"), folder=folder) == [
        "6:25: the key is not that of the certificate"
    ]
