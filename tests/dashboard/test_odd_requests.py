"""Unusual input to the dashboard: broken forms, odd entries, a list that grows, a server that hangs."""

from __future__ import annotations

import re
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis
from redis.exceptions import TimeoutError as RedisTimeoutError

from streamdialer.broker.dead_letters import DeadLetter
from streamdialer.config.settings import Settings
from streamdialer.dashboard import pages
from streamdialer.dashboard.pages import LETTERS_PER_PAGE, OverviewCache
from streamdialer.dashboard.sessions import MAX_FAILURES, LoginThrottle
from streamdialer.errors import CannotBeDone
from streamdialer.operations.dead_letters import (
    masked_letter,
    newest_letters,
    open_dead_letters,
    replay_letters,
)
from streamdialer.operations.overview import collect
from tests.support.dashboard_fixture import GUARDED, KEYS, add_dead_letter, kinds, know_campaign, visiting

FORM = "application/x-www-form-urlencoded"
NUMBER = "+573001234567"
HALF_A_CHARACTER = b'--b\r\nContent-Disposition: form-data; name="name"\r\nContent-Type: text/plain; charset='


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (f"{FORM}; charset=unicode_escape", b"name=\\ud800&secret=x"),
        (f"{FORM}; charset=no_such_thing", b"name=a"),
        ("multipart/form-data; boundary=b", HALF_A_CHARACTER + b"unicode_escape\r\n\r\n\\ud800\r\n--b--\r\n"),
        ("multipart/form-data", b"name=a"),
    ],
)
async def test_a_form_that_cannot_be_read_is_refused(settings: Settings, kind: str, body: bytes) -> None:
    async with visiting(settings, **GUARDED) as visitor:
        answer = await visitor.client.post("/login", content=body, headers={"Content-Type": kind})
    assert (answer.status_code, "This form cannot be read." in answer.text) == (400, True)


async def test_half_an_address_in_a_header_is_refused(redis: Redis, settings: Settings) -> None:
    async with visiting(settings) as visitor:
        assert (await visitor.get("/streams", Host="[::1")).status_code == 403
        assert (await visitor.send("/theme", {"Origin": "http://[::1"}, theme="dark")).status_code == 403


async def test_starting_without_an_id_starts_nothing(redis: Redis, settings: Settings) -> None:
    async with visiting(settings) as visitor:
        assert (await visitor.send("/campaigns/start")).status_code == 400
    assert await redis.keys("campaign:*") == []


async def test_an_action_shows_at_once(redis: Redis, settings: Settings) -> None:
    await know_campaign(redis)
    async with visiting(settings) as visitor:
        assert 'aria-label="Pause Campaign 7"' in (await visitor.get("/campaigns/7")).text
        await visitor.send("/campaigns/7/pause")
        assert 'aria-label="Start Campaign 7"' in (await visitor.get("/campaigns/7")).text


async def test_a_campaign_beyond_those_shown_is_not_reported_as_unknown(
    redis: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "MAX_CAMPAIGNS", 1)
    await know_campaign(redis, "7")
    await know_campaign(redis, "8")
    async with visiting(settings) as visitor:
        assert (
            "Campaign 8 is not one of the 1 that the dashboard shows."
            in (await visitor.get("/campaigns/8")).text
        )


async def test_one_failed_reading_is_the_answer_to_all_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = 0

    async def hang(*_: Any) -> None:
        nonlocal readings
        readings += 1
        await anyio.sleep(0.1)
        raise RedisTimeoutError("nothing came")

    monkeypatch.setattr(pages, "read_overview", hang)
    no_scripts: Any = None
    cache = OverviewCache(no_scripts, KEYS)

    async def ask() -> None:
        with pytest.raises(RedisTimeoutError):
            await cache.get()

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(ask)
    assert readings == 1


# ---- guessing passwords ----


@pytest.mark.parametrize(
    ("address", "same", "other"),
    [
        ("::ffff:10.0.0.1", "10.0.0.200", "::ffff:10.0.1.1"),
        ("10.0.0.1:4001", "10.0.0.2:4002", "10.0.1.1:4001"),
        ("[2001:db8::1]:4001", "2001:db8::2", "[2001:db8:1::1]:4001"),
        ("unknown", "unknown", "hidden"),
    ],
)
def test_an_address_is_recognised_however_it_is_written(address: str, same: str, other: str) -> None:
    throttle = LoginThrottle()
    for _ in range(MAX_FAILURES):
        throttle.record_failure(address)
    assert throttle.wait_s(same) > 0
    assert throttle.wait_s(other) == 0


# ---- dead letters ----


@pytest.mark.parametrize("letter", ["9" * 30 + "-0", "٣-٠", "1-", "a-b"])
async def test_an_invalid_letter_id_is_not_found(redis: Redis, settings: Settings, letter: str) -> None:
    async with visiting(settings) as visitor:
        assert (await visitor.get(f"/dead/{letter}")).status_code == 404
        assert (await visitor.get(f"/dead?before={letter}")).status_code == 200
        assert (await visitor.send("/dead/drop", id=[letter])).status_code == 400
        assert (await visitor.send("/dead/drop", all="yes", until=letter)).status_code == 400


async def test_a_letter_of_bytes_and_a_strange_one_can_be_shown(redis: Redis, settings: Settings) -> None:
    bytes_in_it: Any = {"stream": "dialer:events", "detail": b"\xff", "=data": b"\xff\xfe"}
    first: Any = await redis.xadd(KEYS.stream("dead"), bytes_in_it)
    second: Any = await redis.xadd(KEYS.stream("dead"), {"deliveries": "many"})
    third = await add_dead_letter(redis, data="[" * 600)
    async with visiting(settings) as visitor:
        for path in ("/dead", f"/dead/{first}", f"/dead/{second}", f"/dead/{third}"):
            assert (await visitor.get(path)).status_code == 200


async def test_old_dead_letters_come_in_pages(redis: Redis, settings: Settings) -> None:
    letters = [await add_dead_letter(redis, type="x") for _ in range(2 * LETTERS_PER_PAGE + 1)]
    ids, path = [], "/dead"
    async with visiting(settings) as visitor:
        while True:
            page = (await visitor.get(path)).text
            ids += re.findall(r'<tr id="letter-([^"]+)"', page)
            older = re.search(r'<a href="([^"]+)">Older</a>', page)
            if older is None:
                break
            path = older.group(1)
        assert '<a href="/dead">Newest</a>' in page
        beyond = (await visitor.get(f"/dead?before={letters[0]}")).text
    assert ids == letters[::-1]
    assert "There are no older ones." in beyond


async def test_dropping_all_drops_those_there_at_the_question(redis: Redis, settings: Settings) -> None:
    for _ in range(3):
        await add_dead_letter(redis, type="seen")
    async with visiting(settings) as visitor:
        question = (await visitor.send("/dead/drop", all="yes")).text
        await add_dead_letter(redis, type="later")
        fields = dict(re.findall(r'name="(all|until|confirmed)" value="([^"]+)"', question))
        await visitor.send("/dead/drop", **fields)
        assert "3 dead letters dropped." in (await visitor.get("/dead")).text
    assert await kinds(redis, "dead") == ["later"]


async def test_a_replay_that_is_overtaken_says_how_far_it_came(redis: Redis, settings: Settings) -> None:
    first, second, third = [await add_dead_letter(redis, type=kind) for kind in "abc"]
    async with open_dead_letters(settings) as letters:
        await letters.drop([second])
        with pytest.raises(CannotBeDone, match="1 before it were put back"):
            await replay_letters(letters, [first, second, third])
        assert [letter.id for letter in (await newest_letters(letters, 9))[0]] == [third]
        assert await letters.ids() == [third]
    assert await kinds(redis, "events") == ["a"]


def test_numbers_are_masked_wherever_they_may_stand() -> None:
    original = {
        "phone": NUMBER,
        "note": f"call {NUMBER}",
        "data": '{"callerIdNum": 3001234567, "to": "3001234567", "note": "call +57 300 123 4567 back", '
        '"phones": [{"number": "3001234567"}], "call_id": "1700000000.12", "contact_id": 3001230000}',
    }
    letter = DeadLetter("1-0", "dialer:events", "1-0", "r", f"refused: 3001234567 and {NUMBER}", 1, original)
    shown = masked_letter(letter)
    text = str(shown)
    assert not re.search("300.?123.?4567", text)
    assert text.count("•567") == 8
    assert '"call_id":"1700000000.12"' in shown.original["data"]
    assert "3001230000" in shown.original["data"]
