"""ASTERISK_AMI_URL: several servers, any secret, and no part of a secret in a message."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdialer.config.ami_urls import (
    AmiUrl,
    is_channel_template,
    mask_ami_urls,
    parse_ami_urls,
    validate_ami_urls,
)
from streamdialer.config.loading import describe, load
from streamdialer.errors import SettingsError

SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=8)


def test_several_servers_are_read() -> None:
    servers = parse_ami_urls("ami://u:a,b@h , AMIS://u%40x:s%40%2F%3F@[::1]:5040?ssl_ca_certs=%2Fca.pem")
    assert servers == [
        AmiUrl(host="h", port=5038, username="u", secret="a,b"),
        AmiUrl(host="::1", port=5040, username="u@x", secret="s@/?", uses_tls=True, ca_certs="/ca.pem"),
    ]
    assert [each.name for each in servers] == ["h:5038", "::1:5040"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://u:hunter2@h", "ami://user:secret@host:5038 or amis://"),
        ("ami://u:hunter2@", "the host is missing"),
        ("ami://u:hunter2@h:0", "the host is missing"),
        ("ami://u:hunter2@h:hunter2", "the host is missing"),
        ("ami://u:hunter2@h/path", "the host is missing"),
        ("ami://hunter2@h", "a user and a secret are missing"),
        ("ami://h", "a user and a secret are missing"),
        ("ami://u:hunter/2@h", "write / ? # @ in a secret"),
        ("ami://u:hunter#2@h", "write / ? # @ in a secret"),
        ("ami://u:hunter2%0d%0aA@h", "has a line break"),
        ("ami://u:hunter2@h?ssl_ca_certs=x", "the options are trunks and, of amis://, ssl_ca_certs"),
        ("ami://u:hunter2@h,ami://u:hunter2@h:5038", "a server stands in it twice"),
        ("ami://u:hunter2@h,ami://", "are missing"),
    ],
)
def test_a_wrong_address_is_refused_without_its_secret(url: str, expected: str) -> None:
    assert expected in (validate_ami_urls(url) or "")
    with pytest.raises(SettingsError) as caught:
        parse_ami_urls(url)
    assert str(caught.value).startswith("ASTERISK_AMI_URL: got ")
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    ("template", "is_taken"),
    [
        ("PJSIP/{number}@{trunk}", True),
        ("Local/{number}@out/n", True),
        ("local/{number}@{trunk}/nj", True),
        ("Local/{number}@out", False),
        ("LOCAL/{number}@agents", False),
        ("Local/{number}@agents/j", False),
        ("PJSIP/{trunk}", False),
        ("PJSIP/{number}@{other}", False),
        ("{number}", False),
    ],
)
def test_a_channel_names_the_number_and_stays_in_the_call(template: str, is_taken: bool) -> None:
    assert is_channel_template(template) is is_taken


@given(SECRETS, SECRETS, st.booleans(), st.booleans())
def test_no_secret_is_shown_however_it_is_spelled(
    before: str, after: str, is_quoted: bool, is_second: bool
) -> None:
    secret = f"{before}§ZQX§{after}"
    url = f"ami://u:{quote(secret, safe='') if is_quoted else secret}@h"
    url = f"ami://a:b@other,{url}" if is_second else url
    refusal = ""
    try:
        parsed = parse_ami_urls(url)
        assert not is_quoted or parsed[-1].secret == secret
    except SettingsError as error:
        refusal = str(error)
        assert not is_quoted
    for shown in (mask_ami_urls(url), refusal):
        assert "ZQX" not in shown
        assert "§" not in shown


def test_the_configuration_shows_it_masked(tmp_path: Path) -> None:
    loaded = load(environ={"ASTERISK_AMI_URL": "ami://u:hunter2@h,amis://v:hunter3@g"}, directory=tmp_path)
    shown = {row.name: row.value for row in describe(loaded)}["ASTERISK_AMI_URL"]
    assert shown == "ami://u:****@h,amis://v:****@g"
