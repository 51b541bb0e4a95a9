"""What somebody else wrote, fit for a line of the log.

The law: of the secrets that a call carries none is in a quote of its answer, in whatever writing it comes back.
"""

import html
import json
import os
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

LONGEST = 500
"""Characters that a provider is quoted with, which hold Ory Hydra's hints."""


def quoted(text: object, secrets: Iterable[str] = (), *, longest: int = LONGEST) -> str:
    """`text` between quotation marks, in one printable line of bearable length, with `secrets` struck from it."""
    shown = str(text)
    for secret in sorted(filter(None, secrets), key=len, reverse=True):  # one may hold another
        for written in _writings(secret):
            shown = shown.replace(written, "…")
    return repr(shown[:longest])


def of_system(error: BaseException) -> str:
    """What an error says; of a connection that failed, the system's words, which asyncio replaces by its own."""
    if isinstance(error, OSError) and error.errno and str(error.strerror).startswith("Connect call failed"):
        return os.strerror(error.errno)
    return str(error)


def _writings(secret: str) -> Iterator[str]:
    """A secret as forms, JSON, web pages and Python write it; what is written in more characters comes first."""
    escaped = {quote(secret, safe=""), quote_plus(secret, safe=""), quote(secret), quote_plus(secret, safe="/:")}
    escaped |= {re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), each) for each in escaped}
    in_json = json.dumps(secret)[1:-1]
    escaped |= {in_json, in_json.replace("/", "\\/"), repr(secret)[1:-1], html.escape(secret)}
    yield from sorted(escaped | {secret}, key=len, reverse=True)
