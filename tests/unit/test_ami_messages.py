"""AMI messages: any bytes in any pieces, bounded memory, and no value that becomes another field."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdialer.gateways.ami.messages import MAX_LINE, MAX_MESSAGE, Decoder, Message, encode, variable

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True)
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=60)


def cut_up(data: bytes, places: list[int]) -> list[bytes]:
    cuts = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[one:other] for one, other in pairwise(cuts)]


@given(
    st.lists(
        st.dictionaries(NAMES, VALUES | st.lists(VALUES, min_size=1, max_size=3), max_size=5), max_size=4
    ),
    st.lists(st.integers(0, 5000), max_size=20),
)
def test_what_is_encoded_is_decoded_again_however_it_is_split(
    actions: list[dict[str, str | list[str]]], places: list[int]
) -> None:
    data = b"Asterisk Call Manager/11\r\n" + b"".join(
        encode("A", "7", {"Event": "E", **each}) for each in actions
    )
    decoder, found = Decoder(), list[Message]()
    for piece in cut_up(data, places):
        found += decoder.feed(piece)
    assert len(found) == len(actions)
    for message, action in zip(found, actions, strict=True):
        sums: dict[str, list[str]] = {"action": ["A"], "actionid": ["7"]}
        for name, value in {"Event": "E", **action}.items():
            sums.setdefault(name.lower(), []).extend([value] if isinstance(value, str) else value)
        assert {name: message.all(name) for name in sums} == sums


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_garbage_raises_nothing_and_the_next_message_is_read(pieces: list[bytes]) -> None:
    decoder = Decoder()
    for piece in pieces:
        list(decoder.feed(piece))
    found = list(decoder.feed(b"\r\n\r\nEvent: Hangup\r\nCause: 17\r\n\r\n"))
    assert found[-1] == Message.of(Event="Hangup", Cause="17")


def test_a_line_of_ten_megabytes_costs_its_message_only_and_no_memory() -> None:
    decoder = Decoder()
    assert list(decoder.feed(b"Event: Long\r\nValue: ")) == []
    for _ in range(160):
        assert list(decoder.feed(b"x" * MAX_LINE)) == []
        assert len(decoder._rest) <= MAX_LINE
    found = list(decoder.feed(b"\r\nMore: 1\r\n\r\nEvent: Next\r\n\r\n"))
    assert [message.event for message in found] == ["Next"]
    assert decoder.dropped == 1


def test_a_message_without_end_is_dropped_at_its_end() -> None:
    decoder = Decoder()
    for number in range(MAX_MESSAGE // 50):
        assert list(decoder.feed(b"Name%d: %s\r\n" % (number, b"x" * 60))) == []
    assert sum(len(each) for values in decoder._values.values() for each in values) < MAX_MESSAGE
    assert [each.event for each in decoder.feed(b"\r\nEvent: Next\r\n\r\n")] == ["Next"]
    assert decoder.dropped == 1


@given(VALUES, st.sampled_from("\r\n\0"), VALUES)
def test_a_value_that_ends_its_line_is_refused(before: str, end: str, after: str) -> None:
    for fields in ({"Channel": before + end + after}, {"Variable": ["A=1", before + end + after]}):
        with pytest.raises(ValueError, match="no line break and no NUL"):
            encode("Originate", "1", fields)
    with pytest.raises(ValueError, match="no line break"):
        encode("Originate", before + end + after)


@pytest.mark.parametrize(
    "fields",
    [{"A: 1\r\nB": "x"}, {"": "x"}, {"A": "x" * 1000}, {"A": "é" * 500}, {"Variable": ["A=1"] * 120}],
)
def test_what_asterisk_would_cut_or_misread_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="AMI"):
        encode("Originate", "1", fields)


def asterisk_splits(text: str) -> list[str]:
    """As `AST_STANDARD_APP_ARGS` does it: commas outside of quotes and brackets; quotes and backslashes go."""
    parts, depth, quoted, chars = [""], {"(": 0, "[": 0}, False, iter(text)
    for each in chars:
        if each in "([":
            depth[each] += 1
        elif each in ")]":
            opening = {")": "(", "]": "["}[each]
            depth[opening] = max(0, depth[opening] - 1)
        elif each == '"':
            quoted = not quoted
            continue
        elif each == "\\":
            parts[-1] += next(chars, "")
            continue
        elif each == "," and not quoted and not any(depth.values()):
            parts.append("")
            continue
        parts[-1] += each
    return parts


@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,9}", fullmatch=True), VALUES, min_size=1, max_size=4))
def test_variables_arrive_in_asterisk_as_they_were_meant(variables: dict[str, str]) -> None:
    joined = ",".join(variable(name, value) for name, value in variables.items())
    assert dict(each.split("=", 1) for each in asterisk_splits(joined)) == variables


def test_a_comma_in_a_value_sets_no_second_variable() -> None:
    assert asterisk_splits(variable("NAME", "a,EVIL=1")) == ["NAME=a,EVIL=1"]
    for name in ("", "A,B", "A=1", "1A", "A\r\n"):
        with pytest.raises(ValueError, match="no name of a channel variable"):
            variable(name, "1")


def test_variables_of_a_channel_are_read_from_both_fields() -> None:
    message = Message.of(
        ChanVariable=["ATTEMPT_ID=1:12:1", "CAMPAIGN_ID="], Variable=["CONTACT_ID=(null)", "A=b=c"]
    )
    assert message.variables() == {"ATTEMPT_ID": "1:12:1", "A": "b=c"}
