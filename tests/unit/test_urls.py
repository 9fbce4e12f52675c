"""Addresses of servers: which are accepted, which are refused with which message; passwords are never shown."""

from __future__ import annotations

import string
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection

from streamdialer.broker.connection import connect, keys_for
from streamdialer.config.urls import (
    HTTP_URL_FORMS,
    RedisUrl,
    mask_url,
    parse_redis_url,
    validate_http_url,
    validate_redis_url,
)
from streamdialer.errors import SettingsError


def parsed(scheme: Any = "redis", hosts: Any = (("h", 6379),), path: str = "", **options: Any) -> RedisUrl:
    return RedisUrl(scheme=scheme, hosts=list(hosts), path=path, options=options)


USER = {"username": "u", "password": "p@/?#:%"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h", parsed()),
        ("REDIS://h:1/2", parsed(hosts=[("h", 1)], db=2)),
        ("redis://h/1?db=3&protocol=3", parsed(db=3, protocol=3)),
        ("redis://[::1]:1", parsed(hosts=[("::1", 1)])),
        ("redis://u:p%40%2F%3F%23:%25@h", parsed(**USER)),
        ("redis://u:p@%2F%3F%23:%25@h", parsed(**USER)),
        ("redis://h?username=u&p%61ssword=p%40%2f%3F%23:%25", parsed(**USER)),
        ("redis://u:p@h?password=other", parsed(username="u", password="p")),
        (
            "rediss://h?ssl_ca_certs=%2Fca&ssl_check_hostname=false",
            parsed("rediss", ssl_ca_certs="/ca", ssl_check_hostname=False),
        ),
        ("unix:///run/a%20b?db=1", parsed("unix", [], "/run/a b", db=1)),
        (
            "redis+sentinel://:p@a,[::1]:2/main/3",
            parsed("redis+sentinel", [("a", 26379), ("::1", 2)], "main", db=3, password="p"),
        ),
        ("redis+cluster://a:1,b", parsed("redis+cluster", [("a", 1), ("b", 6379)])),
        ("rediss+cluster://a?ssl_certfile=%2Fc", parsed("rediss+cluster", [("a", 6379)], ssl_certfile="/c")),
        (
            "rediss+sentinel://u:p@a/main?sentinel_username=s&sentinel_password=q%40&ssl_ca_certs=%2Fca",
            msgspec.structs.replace(
                parsed(
                    "rediss+sentinel", [("a", 26379)], "main", username="u", password="p", ssl_ca_certs="/ca"
                ),
                sentinel_options={"username": "s", "password": "q@"},
            ),
        ),
    ],
)
def test_a_redis_url_is_understood(url: str, expected: RedisUrl) -> None:
    assert parse_redis_url(url) == expected


@pytest.mark.parametrize(
    ("url", "shown", "expected"),
    [
        ("http://h", "http://h", "redis://host:port/db, rediss://host:port/db, unix:///path, "),
        ("redis://h\n1", "redis://h\n1", "redis://host:port/db (it has a blank)"),
        ("redis://h:0", "redis://h:0", "a port is no number from 1 to 65535"),
        (
            "redis://h:port",
            "redis://h:****",
            "redis://host:port/db (a host is missing, or a port is no number",
        ),
        ("redis://a,b", "redis://a,b", "a host is missing"),
        ("redis://h/zero", "redis://h/zero", "the database is no number"),
        (
            "redis://h?PASSWORD=hunter2",
            "redis://h?PASSWORD=****",
            "the option PASSWORD is not one of db, username, password",
        ),
        ("redis://h?decode_responses=0", "redis://h?****", "the option decode_responses is not one of db, "),
        ("redis://h?password=a&hunter=b", "redis://h?password=****&****", "(an option is not one of db, "),
        ("redis://h?hunter2", "redis://h?****", "(an option is not one of db, "),
        ("redis://h?ssl_keyfile=x", "redis://h?ssl_keyfile=x", "the option ssl_keyfile is not one of db, "),
        (
            "redis+cluster://h?ssl_keyfile=x",
            "redis+cluster://h?ssl_keyfile=x",
            "the option ssl_keyfile is not one of",
        ),
        (
            "redis://h?sentinel_password=x",
            "redis://h?sentinel_password=****",
            "the option sentinel_password is not one of",
        ),
        ("redis://h?db=-1", "redis://h?db=-1", "the option db cannot be that"),
        ("redis://:a#b@h", "redis://****", "write / ? # @ in a password as %2F %3F %23 %40"),
        ("rediss://u:a/b?c@h:6380/1", "rediss://****", "rediss://host:port/db (write / ? # @ in a password"),
        ("redis://u:12/3@h", "redis://****", "write / ? # @ in a password"),
        ("redis://h?password=a@b&db=1", "redis://****", "write / ? # @ in a password"),
        ("unix://h/path", "unix://h/path", "unix:///path (the path of the socket begins with the third /)"),
        ("redis+sentinel://h:26379", "redis+sentinel://h:26379", "service (the service is missing)"),
        ("redis+cluster://", "redis+cluster://", "a host is missing"),
        ("redis+cluster://h/1", "redis+cluster://h/1", "a cluster has database 0 only"),
    ],
)
def test_a_wrong_redis_url_is_refused_with_what_would_be_right(url: str, shown: str, expected: str) -> None:
    assert expected in (validate_redis_url(url) or "")
    for refuse in (parse_redis_url, connect, keys_for):
        with pytest.raises(SettingsError) as caught:
            refuse(url)
        assert str(caught.value).startswith(f"REDIS_URL: got {shown!r}, takes ")
        assert expected in str(caught.value)


def test_the_client_gets_what_the_url_says() -> None:
    pool = connect("redis://u:p%40@h:1/2?socket_timeout=9&max_connections=7").connection_pool
    kwargs = pool.connection_kwargs
    assert (kwargs["host"], kwargs["port"], kwargs["db"]) == ("h", 1, 2)
    assert (kwargs["username"], kwargs["password"], kwargs["socket_timeout"]) == ("u", "p@", 9)
    assert pool.max_connections == 7
    assert issubclass(connect("rediss://h").connection_pool.connection_class, SSLConnection)
    socket = connect("unix:///s?db=1").connection_pool
    assert issubclass(socket.connection_class, UnixDomainSocketConnection)
    assert (socket.connection_kwargs["path"], socket.connection_kwargs["db"]) == ("/s", 1)


def test_sentinel_and_cluster_get_credentials_and_options_too() -> None:
    sentinel = connect(
        "redis+sentinel://u:p%40@[::1],b:1/main/3?password=other&socket_timeout=9"
    ).connection_pool
    kwargs = sentinel.connection_kwargs
    assert (kwargs["username"], kwargs["password"], kwargs["db"], kwargs["socket_timeout"]) == (
        "u",
        "p@",
        3,
        9,
    )
    cluster: Any = connect("redis+cluster://[::1]:1,b?username=u&password=p%40&socket_timeout=9")
    kwargs = cluster.connection_kwargs
    assert (kwargs["username"], kwargs["password"], kwargs["socket_timeout"]) == ("u", "p@", 9)
    assert [(node.host, node.port) for node in cluster.startup_nodes] == [("::1", 1), ("b", 6379)]


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1))
def test_every_password_can_be_written_percent_encoded(password: str) -> None:
    spelled = quote(password, safe="")
    for url in (f"redis://:{spelled}@h", f"redis://h?password={spelled}", f"redis+cluster://:{spelled}@h"):
        assert parse_redis_url(url).options == {"password": password}


def test_only_a_cluster_has_a_prefix() -> None:
    assert keys_for("Redis+Cluster://h").server.startswith("{dialer}:")
    assert not keys_for("redis://h").server.startswith("{dialer}:")


@pytest.mark.parametrize(
    ("url", "is_fine"),
    [
        ("http://django:8000", True),
        ("HTTPS://u:p%40@[::1]/path/", True),
        ("http://django/?a=b", False),
        ("http://django/#a", False),
        ("http://:8000", False),
        ("ftp://django", False),
    ],
)
def test_an_http_url_has_a_host_and_no_query(url: str, is_fine: bool) -> None:
    assert validate_http_url(url) == (None if is_fine else HTTP_URL_FORMS)


# ---- no password is shown ----

MARKS = "§ZQX§"
"""Stands in every password, percent-encoded in some: no part of it may be shown."""
LEGAL = string.ascii_letters + string.digits + "-._~!$'()*+,;=:"
PASSWORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=12)
LOCATIONS = st.sampled_from(["redis://{}h:1/0{}", "rediss://{}h{}", "unix://{}/run/s{}"]) | st.sampled_from(
    ["rediss+sentinel://{}a:1,b:2/main{}", "redis+cluster://{}a:1,[::1]:2{}", "https://{}h:8000/api{}"]
)
LOGINS = st.sampled_from(["user:{}@", ":{}@", "{}@", "%75:{}@"])
NAMES = st.sampled_from(
    [
        "password",
        "PASSWORD",
        "Pass%77ord",
        "%70assword",
        "username",
        "UserName",
        "ssl_password",
        "sentinel_password",
        "sentinel_username",
        "pwd",
        "token",
    ]
)


@st.composite
def urls(draw: st.DrawFn, spell: Any) -> str:
    """A URL with a password in one of the places for passwords, spelled by `spell`."""
    before, after = draw(PASSWORDS), draw(PASSWORDS)
    location = draw(LOCATIONS)
    if draw(st.booleans()):
        return location.format(
            draw(LOGINS).format(spell(before + MARKS + after)), draw(st.sampled_from(["", "?db=1"]))
        )
    value = spell(before.replace("&", "") + MARKS + after.replace("&", ""))
    first = draw(st.sampled_from(["", "db=1&"]))
    return location.format(
        draw(st.sampled_from(["", "user:other@"])), f"?{first}{draw(NAMES)}={value}&protocol=3"
    )


SPELLINGS = st.sampled_from(
    [
        str,
        quote,
        lambda text: quote(text, safe=LEGAL),
        lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    ]
)


@given(SPELLINGS.flatmap(urls))
def test_no_password_is_shown_wherever_it_stands_and_however_it_is_spelled(url: str) -> None:
    refusal = ""
    try:
        parse_redis_url(url)
    except SettingsError as error:
        refusal = str(error)
    for shown in (mask_url(url), refusal):
        for mark in ("Z", "§", "5a", "5A", "%C2", "%c2"):
            assert mark not in shown


@given(
    st.text(st.sampled_from(LEGAL), min_size=1),
    st.text(st.sampled_from(LEGAL), min_size=1),
    LOCATIONS,
    LOGINS,
)
def test_what_is_shown_is_the_same_for_any_password(one: str, other: str, location: str, login: str) -> None:
    if login == "{}@":  # a colon makes a user of what stands before it
        one, other = one.replace(":", "x"), other.replace(":", "x")
    shown, same = (mask_url(location.format(login.format(password), "")) for password in (one, other))
    assert shown == same
    assert "****@" in shown
