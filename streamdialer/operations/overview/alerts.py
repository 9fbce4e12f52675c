"""What an operator should know at once (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from streamdialer.broker.heartbeat import KnownProcess
from streamdialer.ledger.serial_api import SerialApi
from streamdialer.operations.overview.views import Alert, CampaignOverview
from streamdialer.operations.phrase import Phrase

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
        delays = Phrase(
            "{late} of the last {begun} calls that rang did so long after their request, "
            "the slowest after {seconds:.0f} s",
            late=serial_api.late,
            begun=serial_api.begun,
            seconds=serial_api.longest_ms / 1000,
        )
        text = Phrase("the Dialer API places calls one after the other: {delays}", delays=delays)
        alerts.append(Alert("warning", "serial_api", text))
    if dead:
        text = Phrase.counted(
            "{number} dead letter: `streamdialer dead list` shows it",
            "{number} dead letters: `streamdialer dead list` shows them",
            dead,
        )
        alerts.append(Alert("warning", "dead_letters", text))
    return sorted(alerts, key=lambda alert: alert.level != "error")


def _of_servers(
    now_ms: int, server: Mapping[str, str], api_pause: tuple[str | None, str | None, str | None]
) -> Iterable[Alert]:
    hold_ms = int(server.get("hold_until") or 0) - now_ms
    if hold_ms > 0:
        yield Alert(
            "error",
            "data_loss",
            Phrase(
                "Redis was restarted, emptied or replaced: nothing is dialed for {seconds} s, "
                "so that calls that it may have forgotten can end",
                seconds=math.ceil(hold_ms / 1000),
            ),
        )
    until, reason, detail = api_pause
    pause_ms = int(float(until or 0)) - now_ms
    if pause_ms > 0:
        code = reason or "dialer_api_down"
        text = Phrase(
            "{trouble}: the next try is in {seconds} s{detail}",
            trouble=Phrase(API_TROUBLE[code]),
            seconds=math.ceil(pause_ms / 1000),
            detail=f" ({detail})" if detail else "",
        )
        yield Alert("error", code, text)


def _of_campaigns(
    campaigns: Sequence[CampaignOverview], registries: Mapping[str, Sequence[str]]
) -> Iterable[Alert]:
    for campaign in campaigns:
        if campaign.refused_updates is not None:
            yield Alert(
                level="warning",
                code="updates_refused",
                text=Phrase(
                    "campaign {campaign}: {sentence}",
                    campaign=campaign.campaign_id,
                    sentence=campaign.refused_updates.sentence(),
                ),
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
                Phrase(
                    "campaign {campaign}: {rate:.1%} of the people who answered within {hours} h found no agent, "
                    "{cap:.1%} are allowed",
                    campaign=id_,
                    rate=rate.rate,
                    hours=rate.window_h,
                    cap=rate.cap,
                ),
                campaign_id=id_,
            )


def _of_replicas(campaigns: Sequence[CampaignOverview], replicas: Sequence[KnownProcess]) -> Iterable[Alert]:
    roles = {replica.state.role for replica in replicas if not replica.is_silent}
    if any(campaign.status == "active" for campaign in campaigns):
        if "consume" not in roles:
            yield Alert(
                "error", "no_replica", Phrase("no replica sends heartbeats: does `streamdialer consume` run?")
            )
        if "tick" not in roles:
            yield Alert(
                "warning",
                "no_producer",
                Phrase("no tick producer sends heartbeats: does `streamdialer tick` run?"),
            )
    for replica in replicas:
        if replica.is_silent:
            yield Alert(
                "warning",
                "replica_silent",
                Phrase(
                    "{replica} has sent no heartbeat for {seconds:.0f} s: has it died?",
                    replica=replica.name,
                    seconds=replica.last_seen_s,
                ),
            )
