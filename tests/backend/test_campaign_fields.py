"""Fields of agentless campaigns, caller ids and pauses: what our own backend takes, refuses and shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from streamdialer.gateways.parsing import read_campaign
from streamdialer.model import MAX_CALLER_IDS
from tests.backend.test_contact_import import run
from tests.support.backend_pages import log_in_pages
from tests.support.own_backend import OwnBackend

AGENTLESS = {"name": "Messages", "dial_mode": "agentless", "slots": 5}


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"slots": None}, "slots"),
        ({"slots": 0}, "slots"),
        ({"caller_ids": "+571"}, "caller_ids"),
        ({"caller_ids": ["+571", 5]}, "caller_ids"),
        ({"caller_ids": ["+571", " "]}, "caller_ids"),
        ({"caller_ids": ["+571", "1\n2"]}, "caller_ids"),
        ({"caller_ids": [f"+57{number}" for number in range(MAX_CALLER_IDS + 1)]}, "caller_ids"),
        ({"caller_id_choice": "random"}, "caller_id_choice"),
        ({"caller_id_daily_cap": 0}, "caller_id_daily_cap"),
        ({"reserve_agents": -1}, "reserve_agents"),
        ({"auto_pause": "perhaps"}, "auto_pause"),
    ],
)
def test_what_the_dialer_could_not_use_is_refused_and_named(
    admin: httpx.Client, fields: dict[str, Any], name: str
) -> None:
    reply = admin.post("/api/campaigns/", json={**AGENTLESS, **fields})
    assert (reply.status_code, list(reply.json())) == (400, [name])


def test_campaign_create_takes_them_and_the_page_shows_them(backend: OwnBackend, tmp_path: Path) -> None:
    pool = ("--caller-ids", "+5716001111, +5726002222", "--caller-id-choice", "area_code")
    others = ("--caller-id-daily-cap", "40", "--slots", "12", "--calls-per-second", "2.5", "--no-auto-pause")
    named = ("--name", "Messages", "--mode", "agentless", "--json")
    created = run(backend, tmp_path, *named, *pool, *others, command=("campaign", "create"))
    assert created.returncode == 0, created.stderr
    campaign = str(json.loads(created.stdout)["campaign_id"])
    with backend.client() as client:
        read = read_campaign(campaign, client.get(f"/api/campaigns/{campaign}/").json())
    assert (read.is_agentless, read.slots, read.calls_per_second, read.auto_pause) == (True, 12, 2.5, False)
    assert read.caller_ids == ("+5716001111", "+5726002222")
    assert (read.caller_id_choice, read.caller_id_daily_cap) == ("area_code", 40)
    with httpx.Client(base_url=backend.url, timeout=30) as pages:
        log_in_pages(pages, *backend.administrator)
        page = pages.get(f"/admin/backend/campaign/{campaign}/change/").text
    names = ("slots", "caller_ids", "caller_id_choice", "caller_id_daily_cap", "auto_pause", "reserve_agents")
    assert [name for name in names if f'name="{name}"' not in page] == []
    without = run(backend, tmp_path, "--name", "Spring", command=("campaign", "create"))
    assert without.returncode == 2
    assert "--queue is missing" in without.stderr
