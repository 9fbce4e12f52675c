"""The pure decision of a dial tick: from the inputs to the claim."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.campaign_cache import with_defaults
from streamdialer.consumers.dialing.decision import decide_claim
from streamdialer.consumers.dialing.inputs import DialedCampaign, DialInputs
from streamdialer.consumers.dialing.queue_pacing import queue_pacing
from streamdialer.gateways.parsing import read_campaign
from streamdialer.ledger.queues import CampaignState, QueueState
from streamdialer.ledger.rate_limits import NO_RATE_LIMITS
from streamdialer.ledger.ticks import TickStart
from streamdialer.ledger.types import ledger_limits
from streamdialer.model import CampaignSettings
from streamdialer.rules.calling_hours import calling_hours
from streamdialer.rules.retry import retry_plan
from streamdialer.rules.window import Opening


def inputs(
    *,
    free: int = 4,
    ready: int = 10,
    wants_adaptive: bool = False,
    others: tuple[str, ...] = (),
    **settings: Any,
) -> DialInputs:
    campaign = CampaignSettings(queue_name="sales", **settings)
    states = [
        CampaignState(
            id=name,
            status="active",
            ready=ready,
            placed=0,
            connected=0,
            served=0,
            pacing="",
            is_rate_limited=False,
        )
        for name in ("1", *others)
    ]
    queue = QueueState(ledger_ms=10_000, free=free, usable=free, busy=0, polled=9_000, campaigns=states)
    return DialInputs(
        campaign=DialedCampaign(
            id="1",
            settings=campaign,
            settings_age_s=0.0,
            hours=calling_hours(campaign, "UTC", 0),
            opening=Opening(is_open=True, until_ms=60_000),
            retry=retry_plan(campaign),
            start=TickStart(
                server_ms=10_000, ledger_ms=10_000, queue="sales", ready=ready, agents_polled_ms=9_000
            ),
        ),
        queue=queue,
        pacing=queue_pacing(queue, "1", campaign, ledger_limits(Settings())),
        rate_limits=NO_RATE_LIMITS,
        caller_ids=None,
        zone_hours=None,
        time_scale=1.0,
        notices={},
        wants_adaptive=wants_adaptive,
        min_ring_s=None,
        ages_s={},
        sharing={},
        counts_listed=True,
    )


def test_a_fixed_mode_claims_its_level_within_the_campaigns_limits() -> None:
    campaign: dict[str, Any] = {
        "dial_mode": "predictive",
        "pacing_ratio": 1.5,
        "max_concurrent_calls": 7,
        "caller_id": "+57",
    }
    decision = decide_claim(inputs(**campaign), "t.0")
    claim = decision.claim
    assert claim is not None
    assert claim.caller_id == "+57"
    assert (claim.token, claim.level, claim.free_agents, claim.max_concurrent) == ("t.0", 6, 4, 7)
    assert (claim.open_until_ms, claim.queue_level, decision.is_new) == (60_000, None, False)


def test_a_campaign_whose_pacing_is_unknown_counts_with_one_call_per_agent() -> None:
    claim = decide_claim(inputs(others=("2",)), "t.0").claim
    assert claim is not None
    assert claim.others == {"2": 1.0}


def test_adaptive_pacing_decides_once_per_tick_however_often_it_claims() -> None:
    adaptive = inputs(wants_adaptive=True, dial_mode="predictive", pacing="adaptive")
    first = decide_claim(adaptive, "t.0")
    assert first.adaptive is not None
    assert (first.is_new, first.needs_timer) == (True, True)
    later = msgspec.structs.replace(
        adaptive,
        queue=msgspec.structs.replace(adaptive.queue, free=1, learning=first.adaptive.learning.decode()),
    )
    second = decide_claim(later, "t.1", first)
    assert second.adaptive is first.adaptive
    assert not second.is_new
    assert second.claim is not None
    assert (second.claim.token, second.claim.free_agents) == ("t.1", 4), (
        "three have gone since it was decided"
    )
    throttled = decide_claim(later, "u.0")
    assert (throttled.claim, throttled.adaptive, throttled.needs_timer) == (None, None, True)


def test_without_a_ready_contact_adaptive_pacing_neither_decides_nor_sets_a_timer() -> None:
    decision = decide_claim(
        inputs(ready=0, wants_adaptive=True, dial_mode="predictive", pacing="adaptive"), "t.0"
    )
    assert decision.claim is not None
    assert (decision.claim.level, decision.adaptive, decision.needs_timer) == (0, None, False)


def test_a_shadow_decides_for_the_record_and_changes_no_claim() -> None:
    plain = decide_claim(inputs(dial_mode="predictive", pacing_ratio=1.5), "t.0")
    shadow = decide_claim(inputs(wants_adaptive=True, dial_mode="predictive", pacing_ratio=1.5), "t.0")
    assert shadow.adaptive is not None
    assert (shadow.claim, shadow.needs_timer) == (plain.claim, False)


def test_when_another_process_has_decided_meanwhile_only_a_shadow_still_claims() -> None:
    adaptive = decide_claim(inputs(wants_adaptive=True, dial_mode="predictive", pacing="adaptive"), "t.0")
    assert adaptive.without_adaptive().claim is None
    shadow = decide_claim(inputs(wants_adaptive=True, dial_mode="predictive"), "t.0")
    assert shadow.without_adaptive().claim == shadow.claim
    assert shadow.without_adaptive().adaptive is None


@pytest.mark.parametrize(
    ("changes", "wanted", "limit"),
    [
        ({}, 7, "slots"),
        ({"ready": 5}, 7, "no_contacts"),
        ({"max_concurrent_calls": 4}, 4, "concurrency"),
        ({"free": 0}, 7, "slots"),
    ],
)
def test_an_agentless_campaign_claims_its_slots_whoever_is_free(
    changes: dict[str, Any], wanted: int, limit: str
) -> None:
    decision = decide_claim(inputs(dial_mode="agentless", slots=7, **changes), "t.0")
    assert decision.claim is not None
    assert (decision.claim.slots, decision.claim.level, decision.adaptive) == (7, 7, None)
    assert (decision.fixed.wanted, decision.fixed.limit, decision.fixed.share) == (wanted, limit, 0)


@pytest.mark.parametrize(
    ("shown", "setting", "pauses"),
    [(None, True, True), (None, False, False), ("false", True, False), (True, False, True)],
)
def test_a_campaign_says_itself_whether_it_pauses_itself_or_the_setting_does(
    shown: object, setting: bool, pauses: bool
) -> None:
    read = read_campaign("1", {"queue_name": "sales", "auto_pause": shown})
    settings = with_defaults(read, Settings(auto_pause=setting))
    claim = decide_claim(inputs(auto_pause=settings.auto_pause), "t.0").claim
    assert claim is not None
    assert claim.auto_pause is pauses


def test_the_largest_reserve_of_the_queue_counts_for_all_its_campaigns() -> None:
    plain = inputs(others=("2",), reserve_agents=1)
    neighbour = msgspec.structs.replace(plain.pacing["1"], reserve_agents=3)
    of_both = msgspec.structs.replace(plain, pacing={"1": plain.pacing["1"], "2": neighbour})
    for given, kept, level in ((plain, 1, 3), (of_both, 3, 1)):
        decision = decide_claim(given, "t.0")
        assert decision.claim is not None
        assert (decision.claim.kept_agents, decision.fixed.wanted) == (kept, level)
        assert decision.claim.free_agents == 4, "what the claim finds is compared with all of them"


@pytest.mark.parametrize("is_open", [True, False])
def test_a_campaign_outside_its_hours_keeps_no_agents(is_open: bool) -> None:
    plain = inputs(others=("2",))
    neighbour = msgspec.structs.replace(plain.pacing["1"], reserve_agents=3, is_open=is_open)
    given = msgspec.structs.replace(plain, pacing={"1": plain.pacing["1"], "2": neighbour})
    claim = decide_claim(given, "t.0").claim
    assert claim is not None
    assert claim.kept_agents == (3 if is_open else 0)


def test_adaptive_pacing_leaves_them_free_too() -> None:
    for kept, most in ((0, 4), (4, 0), (9, 0)):
        given = inputs(wants_adaptive=True, dial_mode="predictive", pacing="adaptive", reserve_agents=kept)
        adaptive = decide_claim(given, "t.0").adaptive
        assert adaptive is not None
        assert (adaptive.decision.place > 0) == (most > 0)
        assert adaptive.free_agents == 4


@pytest.mark.parametrize(("min_ring_s", "takes_back"), [(15.0, True), (None, False)])
def test_calls_are_taken_back_though_no_contact_is_left(min_ring_s: float | None, takes_back: bool) -> None:
    quiet = inputs(ready=0, free=0, wants_adaptive=True, dial_mode="predictive", pacing="adaptive")
    over_cap = msgspec.structs.replace(
        quiet.queue.campaigns[0],
        placed=12,
        ringing=[84_000] * 12,
        answered_by_person=100,
        abandoned=20,
    )
    queue = msgspec.structs.replace(quiet.queue, ledger_ms=100_000, campaigns=[over_cap])
    decision = decide_claim(msgspec.structs.replace(quiet, queue=queue, min_ring_s=min_ring_s), "t.0")
    assert (decision.take_back > 0, decision.needs_timer) == (takes_back, takes_back)
