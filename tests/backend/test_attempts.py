"""Ended attempts, and what rules block, become rows: each once, whatever comes twice, late or unreadable.

Later news of an attempt corrects it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx
import psycopg
import pytest
import redis as blocking

from streamdialer.broker.keys import Keys
from streamdialer.broker.outcome_group import CONSUMER
from streamdialer.config.settings import Settings
from streamdialer.gateways.own_backend import OwnBackend as Client
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.eventually import wait_until
from tests.support.own_backend import OwnBackend, own_backend, post
from tests.support.postgresql import PostgreSQL

STREAM = Keys().outcomes
BLOCKS = Keys().blocks
GROUP = "streamdialer-backend"


def outcome(number: int, **fields: Any) -> dict[str, str]:
    data = {
        "attempt_id": f"1:1:{number}",
        "campaign_id": 1,
        "contact_id": 1,
        "phone_number": "+573001234567",
        "call_id": "c",
        "agent_id": None,
        "disposition": "no_answer",
        "cause": 19,
        "attempt": number,
        "sent_at": "2026-03-01T10:00:00Z",
        "answered_at": None,
        "ended_at": "2026-03-01T10:00:30Z",
        "duration": None,
        "next_at": "2026-03-01T11:00:30Z",
        "final": False,
        "something_new": [1],
        **fields,
    }
    return {"type": "attempt_ended", "data": json.dumps(data)}


def rows(backend: OwnBackend) -> list[dict[str, Any]]:
    with backend.client() as client:
        return list(client.get("/api/attempts/?ordering=id").json()["results"])


async def attempts_of_march(settings: Settings) -> list[dict[str, Any]]:
    """As `rules evidence` reads them."""
    async with Client(settings) as client:
        return [each async for each in client.attempts("1", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z")]


async def blocks_of(settings: Settings) -> list[dict[str, Any]]:
    async with Client(settings) as client:
        return [each async for each in client.blocks("1", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z")]


def block(*rules: dict[str, Any], campaign: str = "1") -> dict[str, str]:
    return {"campaign": campaign, "blocks": json.dumps(rules)}


@pytest.mark.leaves(STREAM, BLOCKS)
def test_every_ended_attempt_is_a_row_and_later_news_corrects_it(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    with blocking.Redis.from_url(server.url, decode_responses=True) as client:
        client.xadd(STREAM, outcome(1))
        with own_backend(tmp_path / "data", REDIS_URL=server.url) as backend:
            with backend.client() as http:
                post(http, "/api/queues/", {"name": "sales"})
                post(http, "/api/campaigns/", {"name": "x", "queue_name": "sales"})
                post(http, "/api/contacts/", {"campaign_id": 1, "phone_number": "+573001234567"})
            first = outcome(2, allowed_by="us 2026.1; America/New_York")
            for fields in (
                first,
                outcome(
                    2, disposition="completed", answered_at="2026-03-01T10:00:10Z", duration=20.5, final=True
                ),
                {"type": "attempt_ended", "data": "{broken"},
                outcome(9, campaign_id=77),
                outcome(9, campaign_id="of another backend"),
                outcome(3, contact_id=999),
                outcome(
                    2, disposition="completed", answered_at="2026-03-01T10:00:10Z", duration=20.5, final=True
                ),
            ):
                client.xadd(STREAM, fields)
            wait_until(lambda: {row["attempt"] for row in rows(backend)} >= {2, 3})
            second, third = [row for row in rows(backend) if row["attempt"] in (2, 3)]
            assert (second["disposition"], second["duration"], second["final"]) == ("completed", 20.5, True)
            assert second["allowed_by"] == "us 2026.1; America/New_York", "a correction may not name it"
            read = anyio.run(attempts_of_march, backend.settings)
            assert {row["attempt_id"] for row in read} == {row["attempt_id"] for row in rows(backend)}
            assert (second["contact_id"], third["contact_id"], third["cause"]) == (1, None, "19")
            assert len(rows(backend)) == len({row["attempt_id"] for row in rows(backend)}) <= 3
            wait_until(lambda: client.xpending(STREAM, GROUP)["pending"] == 0)

            march = 1_772_359_200_000  # 2026-03-01T10:00:00Z
            capped = {"reason": "cap_attempts", "count": 3, "rule": "at most 3", "contacts": ["5", "6"]}
            for number, fields in enumerate(
                (
                    block(capped, {"reason": "no_consent", "count": 1}),
                    {"campaign": "1", "blocks": "{broken"},
                    block(capped, campaign="77"),
                    block({"reason": "", "count": 0}),
                    block({"reason": "window_closed", "count": 1}),
                )
            ):
                client.xadd(BLOCKS, fields, id=f"{march}-{number + 1}")
            wait_until(lambda: len(anyio.run(blocks_of, backend.settings)) == 3)
            client.xgroup_setid(BLOCKS, GROUP, "0")  # it reads them again, and adds nothing
            client.xadd(BLOCKS, block(capped), id=f"{march}-9")
            wait_until(lambda: len(anyio.run(blocks_of, backend.settings)) == 4)
            read = anyio.run(blocks_of, backend.settings)
            assert [(row["entry_id"][-1], row["reason"], row["count"], row["contacts"]) for row in read] == [
                ("1", "cap_attempts", 3, ["5", "6"]),
                ("1", "no_consent", 1, []),
                ("5", "window_closed", 1, []),
                ("9", "cap_attempts", 3, ["5", "6"]),
            ]

            older = next(entry for entry, fields in client.xrange(STREAM) if fields == first)
            client.xtrim(STREAM, minid=older, approximate=False)
            client.xdel(STREAM, *(entry for entry, _ in client.xrange(STREAM) if entry != older))
            newest = client.xadd(STREAM, outcome(4))
            client.xgroup_setid(STREAM, GROUP, "0")  # it reads the older entry again
            wait_until(lambda: 4 in {row["attempt"] for row in rows(backend)})
            wait_until(lambda: client.xinfo_groups(STREAM)[0]["last-delivered-id"] == newest)
            assert next(row for row in rows(backend) if row["attempt"] == 2)["disposition"] == "completed"


BROKEN = (
    outcome(5, attempt=10**30),
    outcome(5, contact_id=-(2**70)),
    outcome(5, ended_at="2026-03-01T10:00:30"),
    outcome(5, attempt_id="x" * 700),
    {"type": "attempt_ended", "data": b"\xff\xfe"},
    {"type": "attempt_ended"},
    {"data": "{}"},
)
"""Each would be refused by one of the databases, or cannot be read."""


@pytest.mark.leaves(STREAM)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_killed_before_it_acknowledged_it_stores_each_attempt_once(
    server: EmbeddedServer, tmp_path: Path, database: str, request: pytest.FixtureRequest
) -> None:
    """The same entries come again to the next process, and broken ones cost none of their neighbours."""
    changes = {"REDIS_URL": server.url}
    if database == "postgresql":
        changes["DATABASE_URL"] = request.getfixturevalue("postgresql_server").new_database()
    options: dict[str, Any] = {"decode_responses": True, "encoding_errors": "surrogateescape"}
    with blocking.Redis.from_url(server.url, **options) as client:
        with own_backend(tmp_path / "data", **changes) as backend, backend.client() as http:
            post(http, "/api/queues/", {"name": "sales"})
            post(http, "/api/campaigns/", {"name": "x", "queue_name": "sales"})
            client.xadd(STREAM, outcome(1))
            old = client.xadd(STREAM, outcome(8, sent_at="1999-01-01T00:00:00Z"))
            wait_until(lambda: client.xpending(STREAM, GROUP)["pending"] == 0 and len(rows(backend)) == 2)
            client.xdel(STREAM, old)
            backend.process.kill()
            backend.process.wait()
        for fields in (*BROKEN[:3], outcome(2, call_id="a\0b"), outcome(3), *BROKEN[3:]):
            client.xadd(STREAM, fields)
        gone = client.xadd(STREAM, outcome(6))
        client.xgroup_setid(STREAM, GROUP, "0")
        client.xreadgroup(GROUP, CONSUMER, {STREAM: ">"})  # what the killed one held, stored or not
        client.xdel(STREAM, gone)
        client.xadd(STREAM, outcome(1, disposition="completed"))
        client.xadd(STREAM, outcome(4))
        with own_backend(tmp_path / "data", **changes, STREAMDIALER_BACKEND_HISTORY_DAYS="9999") as backend:
            wait_until(lambda: client.xpending(STREAM, GROUP)["pending"] == 0)
            wait_until(lambda: 4 in {row["attempt"] for row in rows(backend)})
            wait_until(lambda: 8 not in {row["attempt"] for row in rows(backend)})
            kept = [(row["attempt"], row["disposition"]) for row in rows(backend)]
            second = [] if database == "postgresql" else [(2, "no_answer")]  # it takes no NUL
            assert kept == [(1, "completed"), *second, (3, "no_answer"), (4, "no_answer")]


@pytest.mark.leaves(STREAM)
def test_of_two_backends_that_store_one_attempt_the_newer_entry_counts(
    server: EmbeddedServer, tmp_path: Path, postgresql_server: PostgreSQL
) -> None:
    url = postgresql_server.new_database()
    with (
        blocking.Redis.from_url(server.url, decode_responses=True) as client,
        own_backend(tmp_path / "data", REDIS_URL=server.url, DATABASE_URL=url) as backend,
        backend.client() as http,
        psycopg.connect(url) as other,
    ):
        post(http, "/api/queues/", {"name": "sales"})
        post(http, "/api/campaigns/", {"name": "x", "queue_name": "sales"})
        other.execute(
            "INSERT INTO backend_attempt (attempt_id, campaign_id, phone_number, call_id, agent_id, disposition, cause,"
            " allowed_by, final, entry_id) VALUES (%s, 1, '', '', '', 'completed', '', 'us 1', true, %s)",
            ["1:1:1", f"{2**62}-0"],
        )
        client.xadd(STREAM, outcome(1))
        waits = (
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        with psycopg.connect(url, autocommit=True) as looking:
            wait_until(lambda: looking.execute(waits).fetchone())
        other.commit()
        wait_until(lambda: client.xpending(STREAM, GROUP)["pending"] == 0)
        assert [row["disposition"] for row in rows(backend)] == ["completed"]


STORE = """
import json, sys, django
from django.conf import settings
settings.DATABASES["default"]["OPTIONS"]["timeout"] = 0.1
django.setup()
from streamdialer.backend.attempts import store_outcomes
try:
    store_outcomes([("5-0", json.loads(sys.argv[1]))])
except OSError as error:
    print(error)
"""


def test_a_locked_database_is_an_error_that_passes(
    backend: OwnBackend, admin: httpx.Client, campaign: int
) -> None:
    """The reader keeps the outcomes then, and brings them again."""
    given = json.dumps(outcome(1, attempt_id=f"{campaign}:1:1", campaign_id=campaign))

    def store() -> str:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "streamdialer.backend.settings",
            "STREAMDIALER_BACKEND_DATA": str(backend.folder),
        }
        command = [sys.executable, "-c", STORE, given]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    def stored() -> int:
        return int(admin.get(f"/api/attempts/?campaign_id={campaign}").json()["count"])

    with sqlite3.connect(backend.folder / "backend.sqlite3", timeout=10) as locking:
        locking.execute("BEGIN IMMEDIATE")
        assert store() == "database is locked\n"
    locking.close()
    assert stored() == 0
    assert (store(), stored()) == ("", 1)


def test_without_redis_the_backend_serves_and_waits(tmp_path: Path) -> None:
    with own_backend(tmp_path / "data", REDIS_URL="redis://127.0.0.1:9/0") as backend:
        wait_until(lambda: "outcomes wait" in (tmp_path / "data/first-output.log").read_text())
        assert httpx.get(f"{backend.url}/api/attempts/").status_code == 401
        assert rows(backend) == []
