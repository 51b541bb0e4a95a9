"""Client ids and secrets that Frame.io may have issued, and texts that it did not issue."""

import pytest

from oauth_proxy.settings.frameio import parse_issued
from oauth_proxy.settings.problems import Refused


@pytest.mark.parametrize(
    "text",
    [
        "changeme",
        "change-me-please",
        "CHANGE_ME",
        "replace this",
        "your-client-secret",
        "<secret>",
        "xxxxxx",
        "...",
        "…",
        "TODO",
        "example",
    ],
)
def test_a_placeholder_is_not_what_frame_io_issued(text: str) -> None:
    with pytest.raises(Refused, match=r"this is a placeholder; Frame.io shows the real one"):
        parse_issued(text)


@pytest.mark.parametrize("text", ["two words", "a\nb", "\u201cquoted\u201d", "a" * 1001])
def test_a_badly_pasted_secret_is_refused(text: str) -> None:
    with pytest.raises(Refused, match=r"this is not what Frame.io issues"):
        parse_issued(text)


def test_an_issued_secret_is_kept_as_it_is() -> None:
    assert parse_issued("p8e-Xy_~.AbC123") == "p8e-Xy_~.AbC123"
