"""A logo that operators bring: what is taken for an image, and what is told of the rest."""

import base64
from pathlib import Path

import pytest

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.pages import read_logo
from oauth_proxy.pages.looks import LARGEST_LOGO

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


@pytest.mark.parametrize(
    ("name", "content", "media_type"),
    [
        ("logo.svg", b"<?xml version='1.0'?><svg/>", "image/svg+xml"),
        ("logo.PNG", PNG, "image/png"),
        ("logo.jpg", b"\xff\xd8\xff\xe0", "image/jpeg"),
        ("logo.webp", b"RIFF\x00\x00\x00\x00WEBP", "image/webp"),
    ],
)
def test_an_image_becomes_a_part_of_the_page(tmp_path: Path, name: str, content: bytes, media_type: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert read_logo(tmp_path / name) == f"data:{media_type};base64,{base64.b64encode(content).decode()}"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("logo.gif", b"GIF89a", "a logo is one of .svg, .png, .jpg, .jpeg, .webp"),
        ("logo", PNG, "a logo is one of .svg, .png, .jpg, .jpeg, .webp"),
        ("logo.png", b"<svg/>", "this is not image/png, although its name says so"),
        ("logo.svg", PNG, "this is not image/svg+xml, although its name says so"),
        ("logo.png", PNG + bytes(LARGEST_LOGO), "the logo is larger than 64 KiB"),
        ("logo.svg", None, "the logo cannot be read: No such file or directory"),
    ],
)
def test_what_is_no_logo_is_told_in_one_sentence(
    tmp_path: Path, name: str, content: bytes | None, problem: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigurationError) as raised:
        read_logo(tmp_path / name)
    assert raised.value.problems == [f"{tmp_path / name}: {problem}"]
