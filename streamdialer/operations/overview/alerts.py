"""What somebody should be told at once, from what was read (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from streamdialer.broker.heartbeat import Replica
from streamdialer.operations.overview.views import Alert, CampaignOverview

ALARMING: Final = {
    "no_call_events",
    "invalid_campaign",
    "backend_unreachable",
    "backend_credentials",
    "backend_refused",
    "server_unknown",
    "no_decisions",
}
"""Reasons of campaigns that are not dialed which somebody has to mend."""


def alerts_of(
    *,
    now_ms: int,
    memory: Mapping[str, str],
    held: tuple[str | None, str | None],
    campaigns: Sequence[CampaignOverview],
    replicas: Sequence[Replica],
    dead: int,
) -> list[Alert]:
    """The worst first. `memory` is the server hash, `held` the Dialer API's rest (until, reason), all ledger ms."""
    found = [
        *_of_servers(now_ms, memory, held),
        *_of_campaigns(campaigns),
        *_of_replicas(campaigns, replicas),
    ]
    if dead:
        found.append(
            Alert(
                level="warning",
                code="dead_letters",
                text=f"{dead} dead letters: `streamdialer dead list` shows them",
            )
        )
    return sorted(found, key=lambda alarm: alarm.level != "error")


def _of_servers(
    now_ms: int, memory: Mapping[str, str], held: tuple[str | None, str | None]
) -> Iterable[Alert]:
    quiet_ms = int(memory.get("hold_until") or 0) - now_ms
    if quiet_ms > 0:
        yield Alert(
            level="error",
            code="data_loss",
            text="Redis was started anew, emptied or replaced: nothing is dialed while calls it may have forgotten "
            f"are waited out, {math.ceil(quiet_ms / 1000)} s more",
        )
    rest_ms = int(float(held[0] or 0)) - now_ms
    if rest_ms > 0:
        credentials = held[1] == "dialer_api_credentials"
        what = "refuses our credentials (DIALER_API_TOKEN)" if credentials else "does not take calls"
        yield Alert(
            level="error",
            code=held[1] or "dialer_api_down",
            text=f"the Dialer API {what}: it is tried again in {math.ceil(rest_ms / 1000)} s",
        )


def _of_campaigns(campaigns: Sequence[CampaignOverview]) -> Iterable[Alert]:
    for one in campaigns:
        if one.status != "active":
            continue
        if one.reason in ALARMING:
            yield Alert(level="error", code=one.reason or "", text=one.why, campaign_id=one.campaign_id)
        if one.abandoning is not None and one.abandoning.is_over_cap:
            rate = one.abandoning
            yield Alert(
                level="warning",
                code="over_abandon_cap",
                text=f"campaign {one.campaign_id}: {rate.rate:.1%} of the people who answered within {rate.window_h} h "
                f"found no agent, {rate.cap:.1%} are allowed",
                campaign_id=one.campaign_id,
            )


def _of_replicas(campaigns: Sequence[CampaignOverview], replicas: Sequence[Replica]) -> Iterable[Alert]:
    heard = {one.state.role for one in replicas if not one.is_silent}
    if any(one.status == "active" for one in campaigns):
        if "consume" not in heard:
            yield Alert(
                level="error",
                code="no_replica",
                text="no replica is heard of: does `streamdialer consume` run?",
            )
        if "tick" not in heard:
            yield Alert(
                level="warning",
                code="no_producer",
                text="no tick producer is heard of: does `streamdialer tick` run?",
            )
    for one in replicas:
        if one.is_silent:
            yield Alert(
                level="warning",
                code="replica_silent",
                text=f"{one.name} has not been heard of for {one.last_seen_s:.0f} s",
            )
