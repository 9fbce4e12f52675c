"""PostgreSQL in place of SQLite: a list goes in, and a server that goes away is waited for."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.support.backend_pages import contact_of
from tests.support.contract_sides import OwnSide, next_number
from tests.support.eventually import wait_until
from tests.support.own_backend import OwnBackend, own_backend, post
from tests.support.postgresql import find_tool, postgresql


def test_a_batch_adds_each_number_once(own_server_on_postgresql: OwnBackend) -> None:
    campaign = OwnSide(own_server_on_postgresql).add_campaign(f"queue{next_number()}")
    rows = [{"phone_number": next_number(), "custom_data": {"debt": 5}} for _ in range(100)]
    with own_server_on_postgresql.client() as client:
        made = post(client, "/api/lists/", {"campaign_id": campaign, "name": "a list"})["id"]
        first = post(client, f"/api/lists/{made}/contacts/", [*rows, rows[0], {"phone_number": "12"}])
        again = post(client, f"/api/lists/{made}/contacts/", rows)
        shown = client.get(f"/api/contacts/?campaign_id={campaign}&limit=1").json()
    assert (first["added"], first["duplicates"], [each["row"] for each in first["refused"]]) == (
        100,
        1,
        [101],
    )
    assert (again["added"], again["duplicates"]) == (0, 100)
    assert (shown["count"], shown["results"][0]["custom_data"]) == (100, {"debt": 5})


def test_a_server_that_goes_away_is_503_until_it_is_back(tmp_path: Path) -> None:
    if find_tool("postgres") is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with postgresql() as server, own_backend(tmp_path / "data", DATABASE_URL=server.url) as backend:
        campaign = OwnSide(backend).add_campaign("sales")
        with backend.client() as client:
            path = f"/api/contacts/{contact_of(client, campaign)['id']}/"
            server.stop()
            reply = client.patch(path, json={"status": "dialing", "attempts": 1})
            assert reply.status_code == 503
            assert "Try again later" in reply.json()["detail"]
            server.start()

            def is_taken() -> bool:
                reply: httpx.Response = client.patch(path, json={"status": "dialing", "attempts": 1})
                return reply.is_success

            wait_until(is_taken)
            assert client.get(path).json()["status"] == "dialing"
