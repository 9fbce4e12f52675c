"""Who can log in to the dashboard and what they may do, tried as an attacker would."""

from __future__ import annotations

import msgspec
import pytest
from redis.asyncio import Redis

from streamdialer.config.settings import Settings
from streamdialer.dashboard.sessions import MAX_FAILURES, MAX_USER_FAILURES, WINDOW_S, LoginThrottle, Sessions
from tests.support.dashboard_fixture import (
    ANNA,
    GUARDED,
    KEYS,
    LOOK,
    PASSWORD,
    TOKEN,
    VIEW_TOKEN,
    WALL,
    add_dead_letter,
    know_campaign,
    visiting,
)

ACTIONS = (
    "/campaigns/7/start",
    "/campaigns/7/pause",
    "/campaigns/7/stop",
    "/campaigns/start",
    "/dead/replay",
    "/dead/drop",
)
EVERYTHING = {"campaign": "7", "all": "yes", "confirmed": "yes"}
"""A form that would carry out any of them."""

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
async def guarded(redis: Redis, settings: Settings) -> Settings:
    """Settings with log-ins; campaign 7 is active and there is a dead letter."""
    await know_campaign(redis)
    await add_dead_letter(redis, type="x")
    return msgspec.structs.replace(settings, **GUARDED)


async def nothing_has_happened(redis: Redis) -> None:
    assert await redis.hgetall(KEYS.campaign("7")) == {"status": "active"}
    assert await redis.xlen(KEYS.stream("dead")) == 1
    assert await redis.xlen(KEYS.stream("events")) == 0


# ---- logging in ----


@pytest.mark.parametrize(
    ("name", "secret", "user"),
    [
        (ANNA, PASSWORD, "anna"),
        (WALL, LOOK, "wall (viewer)"),
        ("", TOKEN, "token"),
        ("", VIEW_TOKEN, "view token (viewer)"),
    ],
)
async def test_users_and_tokens_log_in(guarded: Settings, name: str, secret: str, user: str) -> None:
    async with visiting(guarded) as visitor:
        assert (await visitor.get("/")).headers["location"] == "/login"
        assert (await visitor.log_in(name, secret)).headers["location"] == "/"
        assert f'<span class="user">{user}</span>' in (await visitor.get("/")).text
        assert (await visitor.get("/login")).headers["location"] == "/"


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        (ANNA, LOOK),
        (ANNA, ""),
        (ANNA, TOKEN),
        ("", PASSWORD),
        ("", ""),
        ("token", TOKEN),
        ("bob", PASSWORD),
        (ANNA, PASSWORD + "\x00"),
        (ANNA.upper(), PASSWORD),
    ],
)
async def test_no_other_combination_logs_in(guarded: Settings, name: str, secret: str) -> None:
    async with visiting(guarded) as visitor:
        assert (await visitor.log_in(name, secret)).status_code == 403
        assert not visitor.client.cookies
        assert (await visitor.get("/")).status_code == 303


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(guarded: Settings) -> None:
    async with visiting(guarded) as visitor:
        cookie = (await visitor.log_in()).headers["set-cookie"]
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        assert "Secure" not in cookie
    async with visiting(guarded, dashboard_behind_proxy=True) as visitor:
        answer = await visitor.client.post(
            "/login", data={"name": ANNA, "secret": PASSWORD}, headers={"X-Forwarded-Proto": "https"}
        )
        assert "Secure" in answer.headers["set-cookie"].split("; ")


async def test_after_five_failures_even_the_right_password_waits(guarded: Settings) -> None:
    async with visiting(guarded) as visitor:
        for _ in range(MAX_FAILURES):
            assert (await visitor.log_in(ANNA, "a guess")).status_code == 403
        locked = await visitor.log_in()
        assert locked.status_code == 429
        assert 0 < int(locked.headers["retry-after"]) <= WINDOW_S


async def test_a_forged_address_does_not_help_a_guesser(guarded: Settings) -> None:
    async with visiting(guarded) as visitor:
        for number in range(MAX_FAILURES + 1):
            answer = await visitor.client.post(
                "/login",
                data={"name": ANNA, "secret": "a guess"},
                headers={"X-Forwarded-For": f"10.0.0.{number}"},
            )
        assert answer.status_code == 429


async def test_behind_a_proxy_the_address_it_names_last_counts(guarded: Settings) -> None:
    async with visiting(guarded, dashboard_behind_proxy=True) as visitor:

        async def log_in(secret: str, *forwarded: str) -> int:
            answer = await visitor.client.post(
                "/login",
                data={"name": ANNA, "secret": secret},
                headers=[("X-Forwarded-For", each) for each in forwarded],
            )
            return answer.status_code

        for number in range(MAX_FAILURES):
            assert await log_in("a guess", f"10.0.0.{number}", f"10.0.1.{number}, 10.9.9.9") == 403
        assert await log_in(PASSWORD, "10.0.0.0", "10.9.9.9") == 429
        assert await log_in(PASSWORD, "10.9.9.9, 10.0.0.0") == 303


def test_failures_expire_and_are_counted_by_address() -> None:
    now = [0.0]
    throttle = LoginThrottle(lambda: now[0])
    for _ in range(MAX_FAILURES):
        throttle.record_failure("2001:db8::1")
    assert throttle.wait_s("2001:db8::2") == WINDOW_S
    assert throttle.wait_s("2001:db8:0:9::2") == WINDOW_S, "a site has many networks of 2⁶⁴ addresses"
    assert throttle.wait_s("2001:db8:1::1") == 0
    now[0] = WINDOW_S + 1
    assert throttle.wait_s("2001:db8::1") == 0


async def test_guesses_for_one_user_are_counted_wherever_they_come_from(guarded: Settings) -> None:
    async with visiting(guarded, dashboard_behind_proxy=True) as visitor:

        async def log_in(name: str, secret: str, block: int) -> int:
            answer = await visitor.client.post(
                "/login",
                data={"name": name, "secret": secret},
                headers={"X-Forwarded-For": f"10.0.{block}.1"},
            )
            return answer.status_code

        for block in range(MAX_USER_FAILURES):
            assert await log_in(ANNA, "a guess", block) == 403
        assert await log_in(ANNA, PASSWORD, 200) == 429
        assert await log_in(WALL, LOOK, 201) == 303, "other users may log in"


# ---- sessions ----


async def test_a_cookie_is_not_accepted_after_logging_out(guarded: Settings) -> None:
    async with visiting(guarded) as visitor:
        await visitor.log_in()
        cookies = dict(visitor.client.cookies)
        await visitor.send("/logout")
        visitor.client.cookies.update(cookies)
        assert (await visitor.get("/")).headers["location"] == "/login"


def test_a_session_ends_with_its_time_its_password_its_role_and_its_secret(settings: Settings) -> None:
    secret = {"dashboard_secret": "of both dashboards"}
    users = msgspec.structs.replace(settings, **secret, dashboard_users="operator:anna:right password")
    cookie, session = Sessions(users).begin(Sessions(users).users.logins[0])
    assert Sessions(users).read(cookie) == session
    for change in (
        {"dashboard_session_ttl_s": -1.0},
        {"dashboard_users": "operator:anna:other password"},
        {"dashboard_users": "viewer:anna:right password"},
        {"dashboard_users": "operator:bob:right password"},
        {"dashboard_secret": "of another dashboard"},
        {"dashboard_users": ""},
    ):
        assert Sessions(msgspec.structs.replace(users, **change)).read(cookie) is None
    assert Sessions(users).read(cookie[:-1]) is None
    assert Sessions(users).read("") is None


# ---- other people's pages ----


@pytest.mark.parametrize("path", ACTIONS)
async def test_without_a_session_nothing_is_done(redis: Redis, guarded: Settings, path: str) -> None:
    async with visiting(guarded) as visitor:
        answer = await visitor.client.post(path, data=EVERYTHING)
    assert answer.headers["location"] == "/login"
    await nothing_has_happened(redis)


@pytest.mark.parametrize("path", ACTIONS)
async def test_a_viewer_may_look_but_not_act(redis: Redis, guarded: Settings, path: str) -> None:
    async with visiting(guarded) as visitor:
        await visitor.log_in(WALL, LOOK)
        for page in ("/", "/campaigns/7", "/dead"):
            assert "formaction" not in (await visitor.get(page)).text
        answer = await visitor.send(path, **EVERYTHING)
        assert (answer.status_code, "your role is viewer" in answer.text) == (403, True)
    await nothing_has_happened(redis)


@pytest.mark.parametrize("path", ACTIONS)
async def test_a_form_without_its_token_is_refused(redis: Redis, guarded: Settings, path: str) -> None:
    async with visiting(guarded) as visitor, visiting(guarded) as other:
        await visitor.log_in()
        await other.log_in()
        for token in ({}, {"token": "x"}, {"token": await other.form_token()}):
            answer = await visitor.client.post(path, data={**EVERYTHING, **token})
            assert answer.status_code == 403
        broken = await visitor.client.post(
            path, content=b"token=\xff&confirmed=yes", headers={"Content-Type": FORM}
        )
        assert broken.status_code == 400
    await nothing_has_happened(redis)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_forms_of_another_site_are_refused(
    redis: Redis, guarded: Settings, headers: dict[str, str]
) -> None:
    async with visiting(guarded) as visitor:
        await visitor.log_in()
        for path in ACTIONS:
            assert (await visitor.send(path, headers, **EVERYTHING)).status_code == 403
        login = await visitor.client.post("/login", data={"name": WALL, "secret": LOOK}, headers=headers)
        assert login.status_code == 403
    await nothing_has_happened(redis)


async def test_there_is_no_socket_to_hijack(guarded: Settings) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Origin": "https://evil.example",
    }
    async with visiting(guarded) as visitor:
        await visitor.log_in()
        for path in ("/", "/live", "/ws", "/socket.io/?transport=websocket"):
            answer = await visitor.get(path, **upgrade)
            assert answer.status_code in (200, 404)
            assert "access-control-allow-origin" not in answer.headers


async def test_without_a_login_it_answers_on_this_machine_only(redis: Redis, settings: Settings) -> None:
    await know_campaign(redis)
    await add_dead_letter(redis, type="x")
    async with visiting(settings) as visitor:
        assert (await visitor.get("/")).status_code == 200
        token = await visitor.form_token()
        for headers in (
            {"Host": "rebound.example:5555"},
            {"Host": "10.0.0.1"},
            {"X-Forwarded-For": "10.0.0.1"},
            {"Forwarded": "for=10.0.0.1"},
            {"Via": "1.1 proxy"},
            {"X-Forwarded-Proto": "https"},
            {"CF-Connecting-IP": "10.0.0.1"},
            {"Origin": "https://dialer.example", "Sec-Fetch-Site": "same-origin"},
            {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
        ):
            assert (await visitor.get("/", **headers)).status_code == 403
            data = {"token": token, **EVERYTHING}
            for path in ACTIONS:
                assert (await visitor.client.post(path, data=data, headers=headers)).status_code == 403
        for host in ("localhost:5555", "[::1]:5555", "127.0.0.1"):
            assert (await visitor.get("/", Host=host)).status_code == 200
            origin = {"Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
            assert (await visitor.get("/", Host=host, **origin)).status_code == 200
    await nothing_has_happened(redis)


@pytest.mark.parametrize(
    "back", ["https://evil.example/", "//evil.example", "/\\evil.example", "evil", "/a\nb"]
)
async def test_no_form_redirects_to_another_site(guarded: Settings, back: str) -> None:
    async with visiting(guarded) as visitor:
        await visitor.log_in()
        for path, fields in (("/theme", {"theme": "dark"}), ("/campaigns/7/pause", {})):
            answer = await visitor.send(path, back=back, **fields)
            assert answer.headers["location"] == "/"


async def test_the_theme_is_one_of_three(guarded: Settings) -> None:
    async with visiting(guarded) as visitor:
        await visitor.log_in(WALL, LOOK)
        await visitor.send("/theme", theme="dark")
        assert 'data-theme="dark"' in (await visitor.get("/")).text
        assert (await visitor.send("/theme", theme='x" onload="')).status_code == 400
