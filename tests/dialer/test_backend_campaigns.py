"""Campaigns as the backend shows them: what they may leave out, and what cannot be used."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from streamdialer.config.settings import Settings
from streamdialer.errors import CampaignError, Unreachable
from streamdialer.gateways.backend import Backend
from streamdialer.operations.session import free_port
from tests.support.gateway_server import always, backend_of, html


async def campaign(document: object, status: int = 200) -> Any:
    async with backend_of(always(document, status)) as (server, backend):
        found = await backend.campaign("7")
        assert server.requests[0].path == "/api/campaigns/7/"
        return found


async def test_campaign_decimals_come_as_strings_and_nulls_mean_defaults() -> None:
    full = await campaign(
        {
            "id": 7,
            "queue_name": " sales ",
            "dial_mode": "predictive",
            "pacing_ratio": "2.50",
            "max_concurrent_calls": "20",
            "retry_delay": None,
            "max_retries": None,
            "days_of_week": [0, 4],
            "timezone": "",
            "start_time": None,
            "weight": None,
            "pacing": None,
            "unknown": {"a": 1},
        }
    )
    assert (full.queue_name, full.pacing_ratio, full.max_concurrent_calls) == ("sales", 2.5, 20)
    assert (full.retry_delay, full.max_retries, full.weight) == (300.0, 3, 1.0)
    assert (full.days_of_week, full.timezone, full.start_time, full.pacing) == ((0, 4), None, None, None)
    bare = await campaign({"queue_name": 5001, "dial_mode": None, "days_of_week": None})
    assert (bare.queue_name, bare.dial_mode, bare.days_of_week) == ("5001", "progressive", None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"queue_name": None}, "queue_name is missing"),
        ({"queue_name": "  "}, "queue_name is '  '"),
        ({"queue_name": ["q"]}, "queue_name is"),
        ({"dial_mode": "turbo"}, "dial_mode is 'turbo', takes preview, progressive, predictive, power"),
        ({"dial_mode": ["power"]}, "dial_mode is"),
        ({"pacing_ratio": "fast"}, "pacing_ratio is 'fast'"),
        ({"pacing_ratio": 0}, "pacing_ratio is 0"),
        ({"pacing_ratio": "nan"}, "pacing_ratio is 'nan'"),
        ({"retry_delay": "inf"}, "retry_delay is 'inf'"),
        ({"dial_mode": "predictive", "pacing_ratio": "3.01"}, "pacing_ratio is 3.01.*predictive.*at most 3"),
        ({"dial_mode": "power", "pacing_ratio": 5.5}, "pacing_ratio is 5.5.*power.*at most 5"),
        ({"max_concurrent_calls": -1}, "max_concurrent_calls is -1"),
        ({"days_of_week": [7]}, r"days_of_week\[...\] is \[7\]|days_of_week.* is \[7\]"),
        ({"days_of_week": "0,1"}, "days_of_week is '0,1'"),
        ({"start_time": 9}, "start_time is 9"),
        ({"calls_per_second": 0}, "calls_per_second is 0"),
        ({"calls_per_second": "inf"}, "calls_per_second is 'inf', takes a finite number"),
        ({"attempt_caps": 3}, "attempt_caps is 3"),
        ({"min_gap": 3600}, "min_gap is 3600"),
    ],
)
async def test_a_campaign_that_cannot_be_used_names_the_field(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(CampaignError, match=f"campaign 7: {message}"):
        await campaign({"queue_name": "q", **fields})


async def test_limits_of_the_ratio_are_within_it_and_other_modes_have_none() -> None:
    for mode, ratio in (("predictive", 3), ("power", "5.00"), ("progressive", 9), ("preview", 9)):
        assert (
            await campaign({"queue_name": "q", "dial_mode": mode, "pacing_ratio": ratio})
        ).dial_mode == mode


async def test_a_missing_campaign_and_a_broken_backend_are_different_errors() -> None:
    with pytest.raises(CampaignError, match="campaign 7 does not exist in the backend"):
        await campaign({"detail": "Not found."}, 404)
    for status in (500, 503, 401, 403, 429, 302):
        with pytest.raises(Unreachable, match=f"HTTP {status}"):
            await campaign({}, status)
    deep = web.Response(body=b"[" * 100_000, content_type="application/json")
    moved = web.Response(status=301, headers={"Location": "https://crm.example/login"})
    for answer, message in (
        (always([]), "answered HTTP 200"),
        (lambda _: deep, "answered HTTP 200"),
        (lambda _: moved, r"a redirect to https://crm\.example/login"),
        (lambda _: html(200), "an HTML page"),
    ):
        async with backend_of(answer) as (_, backend):
            with pytest.raises(Unreachable, match=message):
                await backend.campaign("7")
    async with Backend(Settings(backend_url=f"http://127.0.0.1:{free_port()}")) as backend:
        with pytest.raises(Unreachable, match="BACKEND_URL"):
            await backend.campaign("7")


@pytest.mark.parametrize(("shown", "is_it"), [({}, True), ({"id": "007"}, True), ({"id": 7}, False)])
async def test_a_campaign_with_another_id_is_another_campaign(shown: dict[str, object], is_it: bool) -> None:
    document = {"queue_name": "sales", **shown}
    async with backend_of(always(document)) as (_, backend):
        if is_it:
            assert (await backend.campaign("007")).queue_name == "sales"
        else:
            with pytest.raises(CampaignError, match="answers with campaign 7"):
                await backend.campaign("007")
