"""One exchange: a visitor's request goes to the tool, and the tool's answer to the visitor.

The law: a request is sent again only when that cannot do anything twice (RFC 9110 9.2.2): its method is
idempotent, all of it is still in hand, and the connection was an old one that ended before a single byte of an
answer.
"""

import asyncio

from aiohttp import web

from oauth_proxy.errors import BadRequest
from oauth_proxy.upstream.connection import Connection, HungUp
from oauth_proxy.upstream.pool import Pool
from oauth_proxy.upstream.request import Body, request_head
from oauth_proxy.upstream.response import Forwarded, Lines, pass_on

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})


async def forward(
    pool: Pool,
    request: web.BaseRequest,
    owner: str,
    *,
    target: bytes,
    headers: Lines,
    ours: bytes,
    added: Lines,
    body_rate: float,
) -> Forwarded:
    """Ask the tool and pass on its answer; arguments and errors are those of `Upstream.forward`."""
    method = request.method
    if method == "CONNECT":
        raise BadRequest("CONNECT asks for a tunnel to somewhere")
    body = Body(request, body_rate)
    wire = request_head(method, target, headers, body.framing, ours)
    connection = pool.at_rest(owner) or await pool.connect()
    try:
        if body.in_hand is None:
            return await _while_sending(request, body, connection, wire, added)
        if body.in_hand:
            wire += body.in_hand
        to_head = method == "HEAD"
        await connection.ask(wire, to_head=to_head)
        if isinstance(connection.error, HungUp) and connection.exchanges > 1 and method in _IDEMPOTENT:
            connection = await pool.connect()
            await connection.ask(wire, to_head=to_head)
        return await pass_on(
            request,
            connection,
            connection.answer(),
            added=added,
            keep_alive=request.keep_alive and not body.chunked,
        )
    finally:
        pool.give_back(connection, owner)


async def _while_sending(
    request: web.BaseRequest, body: Body, connection: Connection, wire: bytes, added: Lines
) -> Forwarded:
    """An exchange whose body is still coming: the tool may answer before it has all of it.

    A refusal (413 and its like) ends the sending at once. Any other early answer runs beside it, and ends it when
    it is complete. Either way nothing more can be asked on the visitor's connection nor on the tool's.
    """
    answer = connection.ask(wire, to_head=request.method == "HEAD", more_follows=True)
    sender = asyncio.create_task(body.send(connection))
    try:
        await answer
        head = connection.answer()
        if head.status >= 400:
            sender.cancel()
        keep_alive = request.keep_alive and not (body.chunked or connection.sending)
        return await pass_on(request, connection, head, added=added, keep_alive=keep_alive)
    finally:
        sender.cancel()
        await asyncio.wait({sender})  # it must let go of the body before aiohttp reads what is left of it
