"""A body that has to be read whole before the tool may see a byte of it."""

import asyncio

from aiohttp import web

from oauth_proxy.errors import BadRequest, BodyTooLarge, RequestTooSlow
from oauth_proxy.upstream.request import WHOLE, welcome

LONGEST = 1024 * 1024
"""Bytes; Frame.io's own calls are a few kilobytes of JSON."""
DEADLINE = 10.0
"""Seconds for all of it."""


async def read_whole(request: web.BaseRequest) -> bytes:
    """The request's body; it is still forwarded, as it came.

    Raises BodyTooLarge, RequestTooSlow, and BadRequest where the body breaks off.
    """
    if (request.content_length or 0) > LONGEST:
        raise BodyTooLarge(f"a body of {request.content_length} bytes, announced")
    welcome(request)
    body = bytearray()
    try:
        async with asyncio.timeout(DEADLINE):
            while piece := await request.content.readany():
                body += piece
                if len(body) > LONGEST:
                    raise BodyTooLarge(f"a body of more than {LONGEST} bytes")
    except TimeoutError:
        raise RequestTooSlow(f"the request's body was not complete after {DEADLINE:g} s") from None
    except web.RequestPayloadError as error:
        raise BadRequest(f"the request's body broke off: {error}") from None
    request[WHOLE] = bytes(body)
    return request[WHOLE]
