"""What is odd in the body of a reply costs that value, and what is too long is not read."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdialer.gateways.body import Response, read_json
from streamdialer.rules.any_json import MAX_DEPTH
from tests.support.json_values import json_values

ROW = {"id": 1, "name": "Ana María"}


def read(body: bytes, kind: str = "application/json") -> Any:
    return read_json(Response(status_code=200, content=body, headers={"content-type": kind}))


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@given(
    odd=json_values,
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32-le"]),
    is_ascii=st.booleans(),
)
def test_whatever_json_stands_beside_a_row_the_row_is_read(
    odd: object, encoding: str, is_ascii: bool
) -> None:
    text = json.dumps([ROW, odd, ROW], ensure_ascii=is_ascii)
    value = read(text.encode(encoding, "surrogatepass"))
    assert (value[0], value[2]) == (ROW, ROW)
    assert msgspec.json.decode(msgspec.json.encode(value)) == value


@pytest.mark.parametrize(
    ("odd", "becomes"),
    [
        ("NaN", None),
        ("-Infinity", None),
        ("1e999", None),
        ("9" * 5000, None),
        ('"\\ud800x"', "?x"),
        ('"a\tb"', "a\tb"),
        (nested(MAX_DEPTH + 50), None),
        (nested(20_000), None),
        ('{"a": "]", "b": ' + nested(5_000) + ', "c": "[\\"["}', {"a": "]", "c": '["['}),
    ],
)
def test_a_value_that_cannot_be_read_costs_itself(odd: str, becomes: object) -> None:
    first, value, last = read(f"[{json.dumps(ROW)}, {odd}, {json.dumps(ROW)}]".encode())
    while isinstance(value, list):
        value = value[0] if value else "an empty list"
    if isinstance(value, dict):
        value.pop("b")
    assert (first, value, last) == (ROW, becomes, ROW)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (json.dumps(ROW, ensure_ascii=False).encode("latin-1"), "application/json"),
        (json.dumps(ROW, ensure_ascii=False).encode("latin-1"), "application/json; charset=utf-8"),
        (json.dumps(ROW, ensure_ascii=False).encode("latin-1"), "application/json; charset=ISO-8859-1"),
        (json.dumps(ROW, ensure_ascii=False).encode("cp1252"), "application/json; charset=windows-1252"),
        (json.dumps(ROW, ensure_ascii=False).encode(), "application/json; charset=no-such-charset"),
        (json.dumps(ROW, ensure_ascii=False).encode(), "application/json; charset=base64"),
        (json.dumps(ROW, ensure_ascii=False).encode("cp037"), "application/json; charset=cp037"),
    ],
)
def test_a_body_is_read_in_its_charset_and_other_bytes_as_latin_1(body: bytes, kind: str) -> None:
    assert read(body, kind) == ROW


@pytest.mark.parametrize(
    "body", [b"", b"[1,", b"[[[", b"]", b"}{", b"[" * 100_000, b"<html>", b'{"a": "', b"\xff\xfe", b"[1]x"]
)
def test_a_body_that_is_no_json_is_one_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read(body)


@given(body=st.binary(max_size=200))
def test_any_bytes_are_values_or_one_error(body: bytes) -> None:
    with suppress(ValueError):
        read(body)
