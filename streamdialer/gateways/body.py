"""Bodies of replies: how much of one is read, and what it says."""

from __future__ import annotations

import zlib
from email.message import Message
from functools import lru_cache
from typing import Any, Final

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from httpx_aiohttp.transport import map_aiohttp_exceptions
from yarl import URL

from streamdialer.rules.any_json import decode_json

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""Of a decoded reply; a page of 500 contacts may have 32 kB each."""
MAX_POST_BODY_BYTES: Final = 256 * 1024
"""Of a decoded reply to a POST: hundreds of them may be open at once."""
_INFLATED: Final = {"gzip", "x-gzip", "deflate"}
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS


class BoundedTransport(AiohttpTransport):
    """Reads the whole reply and decodes it itself: httpx would decompress a small one into any amount of memory."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises httpx.DecodingError for a body that is too long or cannot be decompressed."""
        if not isinstance(self.client, aiohttp.ClientSession):
            self.client = self.get_client()
        timeout = request.extensions["timeout"]
        with map_aiohttp_exceptions():
            async with self.client.request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=request.headers,
                data=request.content or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    sock_connect=timeout["connect"], sock_read=timeout["read"], connect=timeout["pool"]
                ),
            ) as reply:
                headers = httpx.Headers(reply.raw_headers)
                limit = MAX_POST_BODY_BYTES if request.method == "POST" else MAX_BODY_BYTES
                encoding = headers.pop("content-encoding", "").strip().lower()
                headers.pop("content-length", None)
                headers.pop("transfer-encoding", None)
                body = await _read_body(reply.content, encoding, limit)
        return httpx.Response(reply.status, headers=headers, content=body, request=request)


async def _read_body(raw: aiohttp.StreamReader, encoding: str, limit: int) -> bytes:
    """Raises httpx.DecodingError for a body that is too long or cannot be decompressed."""
    if encoding not in (*_INFLATED, "identity", ""):
        raise httpx.DecodingError(f"the body has the encoding {encoding[:40]!r}, takes gzip or none")
    inflater = zlib.decompressobj(_GZIP_OR_ZLIB) if encoding in _INFLATED else None
    pieces, left = list[bytes](), limit
    async for chunk in raw.iter_any():
        try:
            piece = inflater.decompress(chunk, left + 1) if inflater else chunk
        except zlib.error as error:
            raise httpx.DecodingError(f"the body cannot be decompressed: {error}") from error
        left -= len(piece)
        if left < 0:
            raise httpx.DecodingError(f"the body is longer than {limit // 1024} kB")
        pieces.append(piece)
    return b"".join(pieces)


def read_json(response: httpx.Response) -> Any:
    """The body as JSON values; raises ValueError when it is no JSON."""
    return decode_json(response.content, _charset(response.headers.get("content-type", "")))


@lru_cache(maxsize=64)
def _charset(content_type: str) -> str:
    """httpx would parse the header of each reply anew, as the header of a mail."""
    message = Message()
    message["content-type"] = content_type
    return str(message.get_content_charset("utf-8"))
