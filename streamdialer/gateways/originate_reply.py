"""What the Dialer API's reply to an originate request means for the contact (pure).

The question is not "did it work" but "may a telephone be ringing". A contact may be dialed again only after a reply
that rules this out, or a request that was certainly not sent. Everything else is unknown, and events decide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

import aiohttp
import msgspec

from streamdialer.gateways.body import read_json_body
from streamdialer.observability.redaction import mask_number

Verdict = Literal["placed", "not_placed", "never", "unknown"]
Hold = Literal["", "campaign", "api", "credentials"]

RETRY_AFTER_S: Final = 5.0
"""Pause after 429 and 503 without a Retry-After."""
RETRY_AFTER_MAX_S: Final = 3600.0
UNSENT_PAUSE_S: Final = 1.0
"""Pause after a request that could not be sent: a restarting server is back in seconds."""
CREDENTIALS_PAUSE_S: Final = 30.0
"""Pause after refused credentials: a person has to correct them."""

_CREDENTIALS_REFUSED: Final[tuple[Hold, float, str]] = (
    "credentials",
    CREDENTIALS_PAUSE_S,
    "the Dialer API refuses our credentials; check DIALER_API_TOKEN",
)
_NOT_PLACED: Final[dict[int, tuple[Hold, float, str]]] = {
    429: ("campaign", RETRY_AFTER_S, "too many calls for this campaign"),
    503: ("api", RETRY_AFTER_S, "the Dialer API takes no calls now"),
    401: _CREDENTIALS_REFUSED,
    403: _CREDENTIALS_REFUSED,
}
_NEVER: Final = frozenset({400, 404, 409, 422})
_BAD_STATUS: Final = frozenset({"error", "failed", "failure"})
_SECONDS: Final = re.compile(r"\d+(\.\d+)?")
_CALL_ID_MAX: Final = 128
_DETAIL_MAX: Final = 160


class NothingSent(aiohttp.ClientConnectionError):
    """Our own client has not sent the request."""


_UNSENT: Final = (  # it is certain that no byte of the request was sent
    aiohttp.ClientConnectorError,  # refused, unreachable, DNS, TLS
    aiohttp.ConnectionTimeoutError,  # no connection, or no free connection of the pool, in time
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
    NothingSent,
)


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an originate request."""

    verdict: Verdict
    """`placed`: it is being placed. `not_placed`: may be dialed again. `never`: useless. `unknown`: it may ring."""
    hold: Hold = ""
    """What pauses: this campaign, the whole API, or the API until its credentials are corrected."""
    retry_after_s: float = 0.0
    """How long it pauses; 0 when nothing does."""
    call_id: str = ""
    detail: str = ""
    """One line for people; digits of phone numbers are hidden."""


def read_reply(status: int, headers: Mapping[str, str], body: bytes, now: datetime | None = None) -> Reply:
    """What an HTTP reply means; `now` (UTC) is for a Retry-After date in a reply without a Date."""
    if 200 <= status < 300:
        return _read_success(status, _json(headers, body))
    detail = f"HTTP {status}{_reason_in(_json(headers, body))}"
    if status in _NOT_PLACED:
        hold, pause_s, meaning = _NOT_PLACED[status]
        pause_s = retry_after(headers, default_s=pause_s, now=now)
        return Reply(verdict="not_placed", hold=hold, retry_after_s=pause_s, detail=f"{meaning} ({detail})")
    if status in _NEVER:
        return Reply(verdict="never", detail=f"the Dialer API will never place this call ({detail})")
    return Reply(verdict="unknown", detail=f"the call may be ringing ({detail})")


def read_failure(exc: BaseException) -> Reply:
    """What an exception in place of a reply means."""
    text = one_line(f"{type(exc).__name__}: {exc}")
    if isinstance(exc, _UNSENT):
        detail = one_line(f"nothing was sent: {text}")
        return Reply(verdict="not_placed", hold="api", retry_after_s=UNSENT_PAUSE_S, detail=detail)
    return Reply(verdict="unknown", detail=one_line(f"no readable reply, the call may be ringing: {text}"))


def retry_after(headers: Mapping[str, str], *, default_s: float, now: datetime | None = None) -> float:
    """Seconds of a Retry-After header, a number or an HTTP date, within 0..3600."""
    value = _header(headers, "retry-after").strip()
    if _SECONDS.fullmatch(value):
        return min(float(value), RETRY_AFTER_MAX_S)
    until = _http_date(value)
    if until is None:
        return default_s
    # by the clock of the server, if the reply has a Date
    start = _http_date(_header(headers, "date")) or now or datetime.now(UTC)
    return min(max((until - start).total_seconds(), 0.0), RETRY_AFTER_MAX_S)


def one_line(text: str) -> str:
    """Text for a log line, at most 160 characters; hides long runs of digits and bearer tokens."""
    text = re.sub(r"(?i)\bbearer\s+\S+", "Bearer …", " ".join(text.split()))
    text = re.sub(r"\d{7,}", lambda run: mask_number(run[0]), text)
    return text if len(text) <= _DETAIL_MAX else text[: _DETAIL_MAX - 1] + "…"


def _read_success(status: int, reply: object) -> Reply:
    if not isinstance(reply, dict):
        return Reply(
            verdict="unknown", detail=f"HTTP {status} with an unreadable body, the call may be ringing"
        )
    word = reply.get("status")
    if reply.get("success") is False or (isinstance(word, str) and word.strip().lower() in _BAD_STATUS):
        # the deployed API answers this for calls that ring too
        return Reply(verdict="unknown", detail=f"HTTP {status} that reports an error{_reason_in(reply)}")
    return Reply(verdict="placed", call_id=_call_id(reply.get("call_id")), detail=f"HTTP {status}")


def _call_id(raw: object) -> str:
    if isinstance(raw, bool) or not isinstance(raw, int | str):
        return ""
    text = str(raw).strip()
    return text if len(text) <= _CALL_ID_MAX and text.isprintable() else ""


def _reason_in(reply: object) -> str:
    """The reason in a JSON error body, as `: reason`; FastAPI's field errors without the inputs."""
    if not isinstance(reply, dict):
        return ""
    for key in ("detail", "message", "error"):
        reason = reply.get(key)
        if isinstance(reason, list):
            reason = "; ".join(_field_error(entry) for entry in reason[:3] if isinstance(entry, dict))
        if isinstance(reason, str) and reason.strip():
            return ": " + one_line(reason)
    return ""


def _field_error(entry: dict[str, Any]) -> str:
    where = entry.get("loc")
    path = ".".join(str(step) for step in where) if isinstance(where, list) else ""
    return f"{path} {entry.get('msg', '')}".strip()


def _json(headers: Mapping[str, str], body: bytes) -> object:
    try:
        return read_json_body(body, _header(headers, "content-type"))
    except ValueError:
        return None


def _header(headers: Mapping[str, str], name: str) -> str:
    return next((value for key, value in headers.items() if key.lower() == name), "")


def _http_date(value: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
