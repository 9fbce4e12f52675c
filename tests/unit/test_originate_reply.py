"""What a reply, or its absence, says about the telephone at the other end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from streamdialer.gateways.body import UnreadableBody
from streamdialer.gateways.originate_reply import Reply, one_line, read_failure, read_reply, retry_after

CONNECTION = ConnectionKey("host", 80, False, True, None, None, None)
NOW = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)


def reply(status: int, body: bytes = b"{}", **headers: str) -> Reply:
    return read_reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, NOW)


@pytest.mark.parametrize("status", [200, 201, 202])
@pytest.mark.parametrize(
    ("body", "call_id"),
    [
        (b'{"status": "success"}', ""),
        (b'{"status": "success", "call_id": "abc.123"}', "abc.123"),
        (b'{"call_id": 17}', "17"),
        (b'{"call_id": null}', ""),
        (b'{"call_id": true}', ""),
        (b'{"call_id": {"a": 1}}', ""),
        (b"{}", ""),
    ],
)
def test_a_readable_2xx_means_the_call_is_being_placed(status: int, body: bytes, call_id: str) -> None:
    got = reply(status, body)
    assert (got.verdict, got.hold, got.retry_after_s, got.call_id) == ("placed", "", 0.0, call_id)


@pytest.mark.parametrize(
    "body", [b"", b"OK", b"<html>", b"[]", b'"ok"', b"null", b'{"call_id": ', b"\xff\xfe", b"[" * 9999]
)
def test_a_2xx_that_is_not_a_json_object_leaves_the_call_unknown(body: bytes) -> None:
    assert reply(200, body).verdict == "unknown"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'\xef\xbb\xbf{"status": "success", "call_id": "\xc3\xa9"}', "application/json"),
        (b'{"status": "success", "call_id": "\xe9"}', "application/json; charset=latin-1"),
        (b'{"status": "success", "call_id": "\xe9"}', "application/json"),
        ('{"call_id": "é"}'.encode("utf-16"), "application/json"),
        (b'{"eta": NaN, "call_id": "\xc3\xa9"}', ""),
    ],
)
def test_a_reply_is_read_as_all_json_is(body: bytes, kind: str) -> None:
    got = reply(200, body, Content_Type=kind)
    assert (got.verdict, got.call_id) == ("placed", "é")


@pytest.mark.parametrize("body", [b'{"status": "error"}', b'{"status": "Failed"}', b'{"success": false}'])
def test_a_2xx_that_speaks_of_an_error_proves_nothing(body: bytes) -> None:
    assert reply(200, body).verdict == "unknown"


@pytest.mark.parametrize(("status", "hold"), [(429, "campaign"), (503, "api")])
def test_a_busy_server_places_nothing_and_says_who_waits(status: int, hold: str) -> None:
    got = reply(status, Retry_After="17")
    assert (got.verdict, got.hold, got.retry_after_s) == ("not_placed", hold, 17.0)
    assert reply(status, b"busy").retry_after_s == 5.0


@pytest.mark.parametrize("status", [400, 404, 409, 422])
def test_a_final_refusal_is_never_retried(status: int) -> None:
    got = reply(status, b'{"detail": "no such contact"}')
    assert (got.verdict, got.hold, got.retry_after_s) == ("never", "", 0.0)
    assert "no such contact" in got.detail


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_hold_the_api(status: int) -> None:
    got = reply(status, b'{"detail": "bad token"}')
    assert (got.verdict, got.hold) == ("not_placed", "credentials")
    assert got.retry_after_s > 0
    assert "DIALER_API_TOKEN" in got.detail


KNOWN = {400, 401, 403, 404, 409, 422, 429, 503}


@pytest.mark.parametrize(
    "status", [code for code in range(100, 600) if code not in KNOWN and code // 100 != 2]
)
def test_every_other_status_may_be_a_ringing_phone(status: int) -> None:
    got = reply(status, b'{"detail": "x"}', Retry_After="9")
    assert (got.verdict, got.hold, got.retry_after_s) == ("unknown", "", 0.0)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("2.5", 2.5),
        (" 30 ", 30.0),
        ("99999", 3600.0),
        ("9" * 400, 3600.0),
        ("-3", 5.0),
        ("inf", 5.0),
        ("nan", 5.0),
        ("soon", 5.0),
        ("", 5.0),
        (format_datetime(NOW + timedelta(seconds=40), usegmt=True), 40.0),
        (format_datetime(NOW - timedelta(seconds=40), usegmt=True), 0.0),
        (format_datetime(NOW + timedelta(days=4), usegmt=True), 3600.0),
        ("Sat Mar  1 12:00:07 2025", 7.0),
        ("Sat, 99 Mar 2025 12:00:00 GMT", 5.0),
    ],
)
def test_retry_after_is_read_in_both_forms_and_bounded(value: str, seconds: float) -> None:
    assert retry_after({"retry-after": value}, default_s=5.0, now=NOW) == seconds


def test_a_retry_after_date_is_measured_on_the_servers_clock() -> None:
    there = NOW + timedelta(hours=5)
    headers = {"Retry-After": format_datetime(there + timedelta(seconds=8)), "Date": format_datetime(there)}
    assert retry_after(headers, default_s=5.0, now=NOW) == 8.0


def test_details_hide_numbers_and_tokens_and_stay_on_one_line() -> None:
    error = b'{"loc": ["body", "phone_number"], "msg": "bad\\nnumber 15551234567", "input": "44770"}'
    body = b'{"detail": [' + error + b"]}"
    detail = reply(422, body).detail
    assert "body.phone_number bad number •" in detail
    assert "567" in detail
    assert "5551234" not in detail
    assert "44770" not in detail
    assert one_line("Authorization: Bearer s3cret.x") == "Authorization: Bearer …"
    assert len(one_line("x " * 500)) == 160


@pytest.mark.parametrize(
    "exc",
    [
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientOSError(104, "reset"),
        aiohttp.ClientConnectionResetError(),
        aiohttp.ClientConnectionError("Connector is closed"),
        aiohttp.SocketTimeoutError(),
        aiohttp.ServerTimeoutError(),
        aiohttp.ClientPayloadError(""),
        UnreadableBody("the body is longer than 256 kB"),
        TimeoutError(),
        ConnectionResetError(),
        ConnectionRefusedError(),
        ValueError("?"),
    ],
)
def test_a_failure_that_does_not_prove_nothing_was_sent_is_unknown(exc: Exception) -> None:
    got = read_failure(exc)
    assert (got.verdict, got.hold, got.retry_after_s) == ("unknown", "", 0.0)
    assert "\n" not in got.detail


@pytest.mark.parametrize(
    "exc",
    [
        aiohttp.ConnectionTimeoutError(),
        aiohttp.ClientConnectorError(CONNECTION, OSError(111, "refused")),
        aiohttp.ClientConnectorDNSError(CONNECTION, OSError(-2, "no such name")),
        aiohttp.InvalidURL("http://["),
        aiohttp.NonHttpUrlClientError("ftp://host"),
    ],
)
def test_a_request_that_never_left_may_be_made_again(exc: Exception) -> None:
    got = read_failure(exc)
    assert (got.verdict, got.hold) == ("not_placed", "api")
    assert got.retry_after_s > 0
