"""Errors whose page is in the reader's language."""

from __future__ import annotations

from typing import Final

from aiohttp import web

TEXT: Final = web.ResponseKey("text", str)
"""What the error's page says: aiohttp keeps only bytes of an error's text."""


def refused(error: web.HTTPError, text: str) -> web.HTTPError:
    """The error, with the text for its page."""
    error[TEXT] = text
    return error


def not_found(text: str) -> web.HTTPError:
    return refused(web.HTTPNotFound(), text)


def bad_request(text: str) -> web.HTTPError:
    return refused(web.HTTPBadRequest(), text)
