"""Bodies of replies: how much of one is read, and JSON of any server as values.

What is odd in a body costs as little of it as possible: NaN, numbers too large and values nested too deeply become
null, half a surrogate pair becomes a question mark, an undecodable byte is read as Latin-1.
"""

from __future__ import annotations

import codecs
import json
import math
import re
import zlib
from collections.abc import Iterable
from typing import Any, Final

import aiohttp
import httpx
import msgspec
from httpx_aiohttp import AiohttpTransport
from httpx_aiohttp.transport import map_aiohttp_exceptions
from yarl import URL

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""Of a decoded reply; a page of 500 contacts may have 32 kB each."""
MAX_POST_BODY_BYTES: Final = 256 * 1024
"""Of a decoded reply to a POST: hundreds of them may be open at once."""
MAX_DEPTH: Final = 100
"""Of nested arrays and objects; the scripts of the ledger and the readers in Python take some hundreds."""
_INFLATED: Final = {"gzip", "x-gzip", "deflate"}
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS
_STRINGS_AND_BRACKETS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_UTF_8: Final = {"utf-8", "utf8", "us-ascii", "ascii"}
_LATIN_1: Final = "streamdialer.latin_1"
"""Name of the error handler for bytes that cannot be decoded."""


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
    charset = response.charset_encoding or "utf-8"
    if charset.lower() in _UTF_8:
        try:
            value = msgspec.json.decode(response.content)
        except (ValueError, RecursionError):
            pass  # read below
        else:
            if _is_shallow(value):
                return value
    text = _decode(response.content, charset)
    value = json.loads(
        _without_deep_values(text),
        strict=False,
        parse_int=_read_int,
        parse_float=_read_float,
        parse_constant=lambda _: None,
    )
    # a lone surrogate cannot be encoded, neither here nor when it is sent or stored
    return msgspec.json.decode(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _is_shallow(value: Any) -> bool:
    """Whether no value lies deeper than MAX_DEPTH."""
    level: list[Any] = [[value]]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for outer in level for inner in _values(outer) if isinstance(inner, dict | list)]
        if not level:
            return True
    return False


def _values(outer: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return outer.values() if isinstance(outer, dict) else outer


def _decode(body: bytes, charset: str) -> str:
    """The text of a body; bytes that the charset does not know are read as Latin-1."""
    seen = json.detect_encoding(body)
    for name in (charset if seen == "utf-8" else seen, "utf-8"):
        try:
            return body.decode(name, _LATIN_1)
        except (LookupError, ValueError):
            continue
    return ""


def _without_deep_values(text: str) -> str:
    """The same JSON with null in place of arrays and objects deeper than MAX_DEPTH."""
    kept, depth, begin = list[str](), 0, 0
    for match in _STRINGS_AND_BRACKETS.finditer(text):
        if match[0] in "[{":
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept += text[begin : match.start()], "null"
        elif match[0] in "]}":
            depth -= 1
            if depth == MAX_DEPTH:
                begin = match.end()
    return "".join([*kept, text[begin:]]) if depth <= MAX_DEPTH else ""


def _read_int(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:  # of thousands of digits
        return None


def _read_float(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _as_latin_1(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error(_LATIN_1, _as_latin_1)
