"""Ended attempts become rows: each once, corrected by later news, whatever comes twice, late or unreadable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis as blocking

from streamdialer.broker.keys import Keys
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.eventually import wait_until
from tests.support.own_backend import OwnBackend, own_backend, post

STREAM = Keys().outcomes


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


@pytest.mark.leaves(STREAM)
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
            for fields in (
                outcome(2),
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
            assert (second["contact_id"], third["contact_id"], third["cause"]) == (1, None, "19")
            assert len(rows(backend)) == len({row["attempt_id"] for row in rows(backend)}) <= 3
            wait_until(lambda: client.xpending(STREAM, "streamdialer-backend")["pending"] == 0)

            older = next(entry for entry, fields in client.xrange(STREAM) if fields == outcome(2))
            client.xtrim(STREAM, minid=older, approximate=False)
            client.xdel(STREAM, *(entry for entry, _ in client.xrange(STREAM) if entry != older))
            newest = client.xadd(STREAM, outcome(4))
            client.xgroup_setid(STREAM, "streamdialer-backend", "0")  # it reads the older entry again
            wait_until(lambda: 4 in {row["attempt"] for row in rows(backend)})
            wait_until(lambda: client.xinfo_groups(STREAM)[0]["last-delivered-id"] == newest)
            assert next(row for row in rows(backend) if row["attempt"] == 2)["disposition"] == "completed"


@pytest.mark.leaves(STREAM)
def test_what_a_killed_backend_had_taken_is_stored_by_the_next(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    with own_backend(tmp_path / "data") as backend, backend.client() as http:
        post(http, "/api/queues/", {"name": "sales"})
        post(http, "/api/campaigns/", {"name": "x", "queue_name": "sales"})
    with blocking.Redis.from_url(server.url, decode_responses=True) as client:
        client.xgroup_create(STREAM, "streamdialer-backend", id="0", mkstream=True)
        client.xadd(STREAM, outcome(1))
        client.xreadgroup("streamdialer-backend", "one", {STREAM: ">"})
        with own_backend(tmp_path / "data", REDIS_URL=server.url) as backend:
            wait_until(lambda: [row["attempt"] for row in rows(backend)] == [1])


def test_without_redis_the_backend_serves_and_waits(tmp_path: Path) -> None:
    with own_backend(tmp_path / "data", REDIS_URL="redis://127.0.0.1:9/0") as backend:
        wait_until(lambda: "outcomes wait" in (tmp_path / "data/first-output.log").read_text())
        assert httpx.get(f"{backend.url}/api/attempts/").status_code == 401
        assert rows(backend) == []
