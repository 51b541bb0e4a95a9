"""An operator's browser at the admin listener, as far as its requests tell; and what the status page says."""

import html
import re
from dataclasses import dataclass

import aiohttp

BROWSER = {
    "Connection": "keep-alive",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Site": "none",
}
"""What a browser says when somebody has typed the address."""


@dataclass(frozen=True)
class Shown:
    """An answer of the admin listener."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def words(self) -> str:
        """What a reader sees, without markup and line ends."""
        seen = re.sub(r"(?s)<style>.*?</style>|<[^>]*>", " ", self.text)
        return " ".join(html.unescape(seen).split())

    @property
    def form(self) -> str:
        """What the form's button sends."""
        [found] = re.findall(r'name="form" value="([\w-]+)"', self.text)
        return str(found)


async def opened(url: str, *, method: str = "GET", **headers: str) -> Shown:
    """The answer to somebody at a browser who opens this address; of `headers`, `-` leaves one out."""
    return await _asked(method, url, {}, headers)


async def pressed(url: str, form: str, **headers: str) -> Shown:
    """The answer to the button of a form at this address."""
    origin = "/".join(url.split("/")[:3])
    return await _asked(
        "POST", url, {"form": form}, {"Origin": origin, "Sec_Fetch_Site": "same-origin", **headers}
    )


async def _asked(method: str, url: str, form: dict[str, str], headers: dict[str, str]) -> Shown:
    sent = BROWSER | {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {name: value for name, value in sent.items() if value != "-"}
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, url, headers=sent, data=form or None, allow_redirects=False) as answer,
    ):
        return Shown(answer.status, dict(answer.headers), await answer.text())
