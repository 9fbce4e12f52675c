"""What an operator should know at once (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from streamdialer.broker.heartbeat import KnownProcess
from streamdialer.ledger.serial_api import SerialApi
from streamdialer.operations.overview.views import Alert, CampaignOverview

ALARMING: Final = {
    "no_call_events",
    "invalid_campaign",
    "backend_unreachable",
    "backend_credentials",
    "backend_refused",
    "server_unknown",
    "no_decisions",
    "registry_outdated",
}
"""Reasons for which a campaign is not dialed until an operator corrects something."""

API_TROUBLE: Final = {
    "dialer_api_down": "the Dialer API takes no calls, or does not say whether it does",
    "dialer_api_credentials": "the Dialer API refuses our credentials (DIALER_API_TOKEN)",
    "asterisk_down": "Asterisk takes no calls",
    "asterisk_credentials": "Asterisk does not let us place calls (ASTERISK_AMI_URL, manager.conf)",
}


def alerts_of(
    *,
    now_ms: int,
    server: Mapping[str, str],
    api_pause: tuple[str | None, str | None, str | None],
    serial_api: SerialApi | None = None,
    campaigns: Sequence[CampaignOverview],
    replicas: Sequence[KnownProcess],
    dead: int,
    registries: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[Alert]:
    """Errors first. `server` is the hash of that name, `api_pause` when the pause of who places
    calls ends, the code of why, and what it said, `registries` what a campaign's registries will stop.

    Times are ledger ms.
    """
    alerts = [
        *_of_servers(now_ms, server, api_pause),
        *_of_campaigns(campaigns, registries),
        *_of_replicas(campaigns, replicas),
    ]
    if serial_api:
        text = f"the Dialer API places calls one after the other: {serial_api.sentence()}"
        alerts.append(Alert("warning", "serial_api", text))
    if dead:
        alerts.append(
            Alert("warning", "dead_letters", f"{dead} dead letters: `streamdialer dead list` shows them")
        )
    return sorted(alerts, key=lambda alert: alert.level != "error")


def _of_servers(
    now_ms: int, server: Mapping[str, str], api_pause: tuple[str | None, str | None, str | None]
) -> Iterable[Alert]:
    hold_ms = int(server.get("hold_until") or 0) - now_ms
    if hold_ms > 0:
        yield Alert(
            "error",
            "data_loss",
            "Redis was restarted, emptied or replaced: nothing is dialed for "
            f"{math.ceil(hold_ms / 1000)} s, so that calls that it may have forgotten can end",
        )
    until, reason, detail = api_pause
    pause_ms = int(float(until or 0)) - now_ms
    if pause_ms > 0:
        code = reason or "dialer_api_down"
        next_try = f"the next try is in {math.ceil(pause_ms / 1000)} s"
        yield Alert("error", code, f"{API_TROUBLE[code]}: {next_try}" + (f" ({detail})" if detail else ""))


def _of_campaigns(
    campaigns: Sequence[CampaignOverview], registries: Mapping[str, Sequence[str]]
) -> Iterable[Alert]:
    for campaign in campaigns:
        if campaign.refused_updates is not None:
            yield Alert(
                level="warning",
                code="updates_refused",
                text=f"campaign {campaign.campaign_id}: {campaign.refused_updates.sentence()}",
                campaign_id=campaign.campaign_id,
            )
        if campaign.reason == "auto_paused":
            yield Alert("error", "auto_paused", campaign.why, campaign_id=campaign.campaign_id)
        if campaign.status != "active":
            continue
        id_, rate = campaign.campaign_id, campaign.abandon_rate
        if campaign.reason in ALARMING:
            yield Alert("error", campaign.reason or "", campaign.why, campaign_id=id_)
        if campaign.reason != "registry_outdated":
            for text in registries.get(str(id_), ()):
                yield Alert("warning", "registry_age", f"campaign {id_}: {text}", campaign_id=id_)
        if rate is not None and rate.is_over_cap:
            yield Alert(
                "warning",
                "over_abandon_cap",
                f"campaign {id_}: {rate.rate:.1%} of the people who answered within {rate.window_h} h "
                f"found no agent, {rate.cap:.1%} are allowed",
                campaign_id=id_,
            )


def _of_replicas(campaigns: Sequence[CampaignOverview], replicas: Sequence[KnownProcess]) -> Iterable[Alert]:
    roles = {replica.state.role for replica in replicas if not replica.is_silent}
    if any(campaign.status == "active" for campaign in campaigns):
        if "consume" not in roles:
            yield Alert(
                "error", "no_replica", "no replica sends heartbeats: does `streamdialer consume` run?"
            )
        if "tick" not in roles:
            yield Alert(
                "warning", "no_producer", "no tick producer sends heartbeats: does `streamdialer tick` run?"
            )
    for replica in replicas:
        if replica.is_silent:
            yield Alert(
                "warning",
                "replica_silent",
                f"{replica.name} has sent no heartbeat for {replica.last_seen_s:.0f} s: has it died?",
            )
