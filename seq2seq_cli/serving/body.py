"""Reading the body of a request, with limits on its size and on the time it may take."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from seq2seq_cli.serving.limits import MAX_BODY, READ_SECONDS
from seq2seq_cli.serving.refusals import RefusedError


async def read_json(request: Request) -> bytes:
    """The body of a request that declares it as JSON.

    This media type is required because a page of another origin can send a form without asking, but not JSON. Raises
    RefusedError: 415 for another type, 413 for too many bytes, 408 where they do not arrive in time, 400 where the
    client has gone.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RefusedError(415, "send JSON, with the header Content-Type: application/json.")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > MAX_BODY:
        raise _too_large()
    try:
        async with asyncio.timeout(READ_SECONDS):
            return await _read(request)
    except TimeoutError:
        raise RefusedError(408, f"the request did not arrive within {READ_SECONDS} seconds.") from None
    except ClientDisconnect:
        raise RefusedError(400, "the request ended before it was whole.") from None


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise _too_large()
    return bytes(body)


def _too_large() -> RefusedError:
    return RefusedError(413, f"a request may hold {MAX_BODY:,} bytes.", limit=MAX_BODY)
