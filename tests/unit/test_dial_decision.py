"""The pure decision of a dial tick: from the inputs to the claim."""

from __future__ import annotations

from typing import Any

import msgspec

from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.decision import decide_claim
from streamdialer.consumers.dialing.inputs import DialedCampaign, DialInputs
from streamdialer.consumers.dialing.queue_pacing import queue_pacing
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
