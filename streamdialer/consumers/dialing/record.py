"""Writes what a dial tick did, and why, into its result: the campaign's decision record."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from streamdialer.consumers.dialing.decision import DialDecision
from streamdialer.consumers.dialing.inputs import DialedCampaign, DialInputs, Outdated
from streamdialer.consumers.dialing.outcome import OUTDATED_BY_REASON, DialOutcome
from streamdialer.consumers.dialing.queue_pacing import kept_agents
from streamdialer.consumers.dialing.reasons import REASONS, WAITING
from streamdialer.consumers.dialing.refill import RefillResult
from streamdialer.ledger.ticks import all_blocks
from streamdialer.ledger.types import ClaimResult
from streamdialer.model import CampaignSettings, TickResult

_REASON_BY_OUTDATED: Final = {outdated: reason for reason, outdated in OUTDATED_BY_REASON.items()}
"""Why a tick gave up whose last try still found an input out of date."""

MAX_WHY_CHARS: Final = 300


def record_inactive(result: TickResult, status: str | None) -> None:
    result.reason = "unknown_campaign" if status is None else "not_active"
    detail = REASONS["unknown_campaign"].text if status is None else f"its status is {status!r}, not 'active'"
    result.detail = f"campaign {result.campaign_id} is not dialed: {detail}"


def record_closed_window(result: TickResult, campaign: DialedCampaign) -> None:
    window, opens_ms = campaign.hours.window, campaign.opening.until_ms
    opens = "they do not open again"
    if opens_ms is not None:
        instant = datetime.fromtimestamp(opens_ms / 1000, window.zone)
        opens = f"they open {instant.isoformat(timespec='seconds')} ({window.zone.key})"
    result.reason, result.detail = "window_closed", f"{REASONS['window_closed'].text}; {opens}"


def record_outcome(
    result: TickResult,
    campaign: DialedCampaign,
    outcome: DialOutcome,
    retries: Sequence[Outdated],
    refilled: RefillResult,
    *,
    is_refilled: bool,
) -> None:
    """`refilled` is what the contact list brought when it was last read, in this tick if `is_refilled`."""
    if is_refilled:
        result.refilled = refilled.added
        result.blocks = all_blocks(refilled.blocked, refilled.refused)
    result.retries = list(retries) or None
    if outcome.is_throttled and outcome.claimed is None:
        result.reason, result.detail = "throttled", REASONS["throttled"].text
        return
    if outcome.inputs and outcome.decision and outcome.claimed:
        _record_inputs(result, outcome.inputs)
        _record_decision(result, campaign.settings, outcome.decision)
        serial_api = outcome.claimed.serial_api
        serial = {"serial_api": serial_api.sentence()} if serial_api else {}
        result.notices = outcome.inputs.notices | serial or None
        _record_claim(result, outcome.inputs, outcome.claimed)
    if is_refilled or result.reason == "no_contacts":
        skipped = Counter(result.skipped or {}) + Counter(refilled.passed_over) + refilled.refused
        result.skipped = dict(skipped) or None
        if refilled.first_unreadable:
            result.why = {"unreadable": refilled.first_unreadable[:MAX_WHY_CHARS], **(result.why or {})}
    if result.reason == "no_contacts":
        _record_empty_list(result, refilled)
    reason = _REASON_BY_OUTDATED.get(outcome.outdated) if outcome.outdated else None
    if reason and not result.dialed:
        result.status = "skipped" if reason == "not_rebuilt" else "error"
        result.reason, result.detail = reason, REASONS[reason].text


def _record_empty_list(result: TickResult, refilled: RefillResult) -> None:
    """Adds what the backend's list says about why no contact is ready."""
    code = None
    if refilled.passed_over and not result.deferred:
        code = "contacts_passed_over"
    elif result.live_calls:
        code = "contacts_in_calls"
    if code:
        result.reason, result.detail = code, REASONS[code].text
        if result.deferred:
            result.detail += f"; {_waiting(result.deferred)}"
    if refilled.trouble:
        result.detail = f"{result.detail}; a page of the list is missing: {refilled.trouble}"
    elif refilled.goes_on_at:
        result.detail = f"{result.detail}; the list is longer than one read, and is read on"


def _waiting(deferred: int) -> str:
    return WAITING.format(number=deferred)


def _record_inputs(result: TickResult, inputs: DialInputs) -> None:
    settings = inputs.campaign.settings
    result.ages_s = inputs.ages_s
    result.mode = settings.dial_mode
    result.pacing_ratio, result.max_concurrent_calls = settings.pacing_ratio, settings.max_concurrent_calls


def _record_decision(result: TickResult, settings: CampaignSettings, decision: DialDecision) -> None:
    fixed, adaptive = decision.fixed, decision.adaptive
    result.level = decision.claim.level if decision.claim else None
    result.share, result.wanted, result.limit = fixed.share, fixed.wanted, fixed.limit
    if adaptive and settings.is_adaptive:
        result.adaptive = msgspec.to_builtins(adaptive.decision)
        result.wanted, result.limit = adaptive.decision.place, adaptive.decision.limit
    elif adaptive:
        result.shadow = msgspec.to_builtins(adaptive.decision)


def _record_claim(result: TickResult, inputs: DialInputs, claimed: ClaimResult) -> None:
    result.dialed = claimed.dialed
    result.available_agents = claimed.free
    result.active_calls = claimed.dialing
    result.live_calls = claimed.live
    result.ready = claimed.ready
    result.deferred = claimed.deferred
    result.orphaned = claimed.orphaned or None
    result.only_ends = claimed.only_ends or None
    result.steps = claimed.steps or None
    if claimed.limit not in ("level", "queue", None):
        result.limit = claimed.limit
    if claimed.skipped:
        result.skipped = dict(Counter(result.skipped or {}) + Counter(claimed.skipped))
    result.why = {**(result.why or {}), **(claimed.why or {})} or None
    result.blocks = [*(result.blocks or []), *all_blocks(claimed.blocked, claimed.skipped or {})]
    result.reason = claimed.reason or _why_nothing_was_dialed(inputs, claimed)
    result.status = "skipped" if result.reason else "ok"
    if result.reason is None:
        return
    result.detail = REASONS[result.reason].text
    if result.reason == "no_contacts" and claimed.deferred:
        result.detail += f"; {_waiting(claimed.deferred)}"
    if claimed.detail:
        result.detail += f" ({claimed.detail})"
    if claimed.wait_ms:
        result.detail += f"; {math.ceil(claimed.wait_ms / 1000)} s more"


def _why_nothing_was_dialed(inputs: DialInputs, claimed: ClaimResult) -> str | None:
    """The reason of a claim that was not refused; None when it dialed, or when only its level allowed no more."""
    settings = inputs.campaign.settings
    if claimed.dialed or settings.dial_mode == "preview":
        return None
    needs_free_agents = not (settings.is_adaptive or settings.is_agentless)
    if claimed.free == 0 and needs_free_agents:
        return "no_agents"
    if claimed.usable == 0 and inputs.counts_listed and needs_free_agents:
        return "agents_elsewhere"
    if (
        claimed.usable <= kept_agents(inputs.queue, inputs.pacing)
        and inputs.counts_listed
        and needs_free_agents
    ):
        return "agents_reserved"
    if claimed.ready == 0:
        return "no_contacts"
    return "needs_verification" if claimed.limit == "needs_verification" else None
