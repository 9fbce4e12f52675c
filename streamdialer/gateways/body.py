"""Replies of servers: how much of one is read, and what its body says."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from email.message import Message
from functools import lru_cache
from typing import Any, Final

import aiohttp
import msgspec

from streamdialer.rules.any_json import decode_json

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""Of a decoded reply; a page of 500 contacts may have 32 kB each."""
MAX_POST_BODY_BYTES: Final = 256 * 1024
"""Of a decoded reply to a POST: hundreds of them may be open at once."""
_INFLATED: Final = {"gzip", "x-gzip", "deflate"}
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS


class UnreadableBody(ValueError):
    """It is too long, or cannot be decompressed."""


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """What a server has answered, with its whole body."""

    method: str = "GET"
    """Of the request, as is `url`."""
    url: str = ""
    status_code: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status_code < 300


async def read_response(reply: aiohttp.ClientResponse, url: str) -> Response:
    """Reads the body and decodes it: the library would decompress a small one into any amount of memory.

    Raises UnreadableBody.
    """
    limit = MAX_POST_BODY_BYTES if reply.method == "POST" else MAX_BODY_BYTES
    encoding = reply.headers.get("content-encoding", "").strip().lower()
    return Response(
        method=reply.method,
        url=url,
        status_code=reply.status,
        headers=reply.headers,
        content=await _read_body(reply.content, encoding, limit),
    )


async def _read_body(raw: aiohttp.StreamReader, encoding: str, limit: int) -> bytes:
    if encoding not in (*_INFLATED, "identity", ""):
        raise UnreadableBody(f"the body has the encoding {encoding[:40]!r}, takes gzip or none")
    inflater = _Inflater() if encoding in _INFLATED else None
    pieces, left = list[bytes](), limit
    async for chunk in raw.iter_any():
        piece = inflater.decompress(chunk, left + 1) if inflater else chunk
        left -= len(piece)
        if left < 0:
            raise UnreadableBody(f"the body is longer than {limit // 1024} kB")
        pieces.append(piece)
    if inflater and pieces and not inflater.is_complete:
        raise UnreadableBody("the body is cut short")
    return b"".join(pieces)


class _Inflater:
    """Decompresses a body of one or more members, which gzip may have."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP_OR_ZLIB)

    @property
    def is_complete(self) -> bool:
        return self._member.eof

    def decompress(self, chunk: bytes, most: int) -> bytes:
        """At most `most` bytes, and then the rest is lost; raises UnreadableBody."""
        pieces = list[bytes]()
        while chunk and most > 0:
            if self._member.eof:
                self._member = zlib.decompressobj(_GZIP_OR_ZLIB)
            try:
                piece = self._member.decompress(chunk, most)
            except zlib.error as error:
                raise UnreadableBody(f"the body cannot be decompressed: {error}") from error
            pieces.append(piece)
            most -= len(piece)
            chunk = self._member.unused_data
        return b"".join(pieces)


def read_json(response: Response) -> Any:
    """The body as JSON values; raises ValueError when it is no JSON."""
    return read_json_body(response.content, response.headers.get("content-type", ""))


def read_json_body(body: bytes, content_type: str) -> Any:
    """The same of a body whose Content-Type is known."""
    return decode_json(body, _charset(content_type))


@lru_cache(maxsize=64)
def _charset(content_type: str) -> str:
    message = Message()
    message["content-type"] = content_type
    return str(message.get_content_charset("utf-8"))
