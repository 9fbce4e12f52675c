"""Draws the overview on a terminal of any size from 80 columns and 24 lines upwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from streamdialer.broker.heartbeat import KnownProcess
from streamdialer.operations.overview.views import Alert, CampaignOverview, Overview, StreamOverview

WIDE: Final = 110
"""From so many columns on, names and the less needed numbers are shown, and streams and replicas stand side by side."""
MAX_ALERTS: Final = 3
MAX_REPLICAS: Final = 4
"""On a terminal of 24 lines; a taller one shows more."""
SHORT: Final = 24
_MODES: Final = {
    "preview": "prev",
    "progressive": "prog",
    "predictive": "pred",
    "adaptive": "adapt",
    "power": "power",
}


def render(overview: Overview, *, width: int, height: int, trouble: str = "") -> RenderableType:
    """Fits into `width` and `height`; `trouble` says that the overview is old."""
    is_wide = width >= WIDE
    alerts = [_alert(alert) for alert in overview.alerts[:MAX_ALERTS]]
    if len(overview.alerts) > MAX_ALERTS:
        alerts[-1] = Text(f"{len(overview.alerts) - MAX_ALERTS + 1} more alerts (--json shows them)", "red")
    if trouble:
        alerts.insert(0, Text(trouble, "bold white on red"))
    max_replicas = MAX_REPLICAS + max(0, height - SHORT) // 3
    replicas = _replicas(overview.replicas, max_replicas)
    streams = _streams(overview.streams, overview.dead)
    replica_rows = min(len(overview.replicas), max_replicas + 1)
    foot: list[RenderableType]
    if is_wide:
        below = Table.grid(padding=(0, 4))
        below.add_row(streams, replicas)
        foot_lines = 1 + max(len(overview.streams) + 1, replica_rows)
        foot = [below]
    else:
        foot_lines = 2 + len(overview.streams) + 1 + replica_rows
        foot = [streams, replicas]
    campaign_lines = height - 1 - len(alerts) - foot_lines - 1
    campaigns = _campaigns(overview, campaign_lines, is_wide=is_wide)
    parts = [_headline(overview), *alerts, *campaigns, Text(""), *foot]
    for part in parts:
        if isinstance(part, Text):
            part.truncate(width, overflow="ellipsis")
    return Group(*parts)


def _headline(overview: Overview) -> Text:
    clock = datetime.fromtimestamp(overview.at / 1000, UTC).strftime("%H:%M:%S UTC")
    active = sum(campaign.status == "active" for campaign in overview.campaigns)
    free = sum(queue.agents.free for queue in overview.queues)
    logged_in = sum(queue.agents.logged_in for queue in overview.queues)
    ringing = sum(campaign.ringing for campaign in overview.campaigns)
    talking = sum(campaign.connected for campaign in overview.campaigns)
    return Text(
        f"{clock} · {active} active · {free} of {logged_in} agents free · {ringing} ringing, {talking} talking",
        "bold",
    )


def _alert(alert: Alert) -> Text:
    return Text(f"! {clean(alert.text)}", "bold red" if alert.level == "error" else "yellow")


def _campaigns(overview: Overview, lines: int, *, is_wide: bool) -> Iterable[RenderableType]:
    """The table, then why active campaigns are not dialed, as far as there are lines."""
    stopped = [each for each in overview.campaigns if not each.is_dialing and each.status == "active"]
    max_rows = max(1, lines - 1)
    reasons = min(len(stopped), max(1, max_rows // 3)) if stopped else 0
    shown = overview.campaigns[: max_rows - reasons]
    if len(overview.campaigns) > len(shown):
        shown = shown[:-1]
    yield _campaign_table(shown, overview.at, is_wide=is_wide)
    hidden = len(overview.campaigns) - len(shown) + overview.unshown
    if hidden:
        yield Text(f"{hidden} more campaigns", "dim")
    for campaign in stopped[:reasons]:
        yield Text(clean(campaign.why), "yellow")


def _campaign_table(campaigns: Sequence[CampaignOverview], now_ms: int, *, is_wide: bool) -> Table:
    columns = ["Id", *(["Name"] if is_wide else []), "Mode", "Status", "#Free/talk/wrap", "#Ring", "#Talk"]
    columns += ["#Uncertain"] if is_wide else []
    columns += [
        "#Ans",
        "#Aband/cap",
        "#Util",
        "#Ready",
        "#Deferred" if is_wide else "#Defer",
        *(["#Final"] if is_wide else []),
        "#End",
    ]
    table = new_table(*columns)
    for campaign in campaigns:
        agents, end = campaign.agents, campaign.forecast_end
        table.add_row(
            Text(str(campaign.campaign_id)[:12]),
            *((Text(clean(campaign.name)[:24]),) if is_wide else ()),
            _MODES.get(campaign.mode, "?"),
            _status(campaign),
            f"{agents.free}/{agents.busy}/{agents.wrapup}",
            str(campaign.ringing + campaign.reserved),
            str(campaign.connected),
            *((str(campaign.uncertain),) if is_wide else ()),
            _percent(campaign.answer_rate),
            _abandon_rate(campaign),
            _percent(campaign.utilisation),
            str(campaign.ready),
            str(campaign.deferred),
            *((str(campaign.final),) if is_wide else ()),
            "" if end is None else span(max(0, end - now_ms) / 1000),
        )
    return table


def _status(campaign: CampaignOverview) -> Text:
    if campaign.status != "active":
        return Text(clean(campaign.status or "none")[:9], "dim")
    return Text("dialing", "green") if campaign.is_dialing else Text("waiting", "yellow")


def _abandon_rate(campaign: CampaignOverview) -> Text:
    rate = campaign.abandon_rate
    if rate is None:
        return Text("")
    return Text(f"{rate.rate:.1%}/{100 * rate.cap:.3g}%", "bold red" if rate.is_over_cap else "")


def _streams(streams: Sequence[StreamOverview], dead: int) -> Table:
    table = new_table("Stream", "#Length", "#Lag", "#Pending", "#Oldest", "#Per s")
    for stream in streams:
        oldest = "" if stream.oldest_pending_s is None else span(stream.oldest_pending_s)
        counts = map(str, (stream.length, stream.lag, stream.pending))
        table.add_row(stream.stream, *counts, oldest, f"{stream.per_s:.1f}")
    table.add_row("dead", Text(str(dead), "yellow" if dead else ""), "", "", "", "")
    return table


def _replicas(replicas: Sequence[KnownProcess], max_rows: int) -> Table:
    table = new_table("Replica", "#MB", "#Up", "#Heard", "Doing")
    shown = replicas if len(replicas) <= max_rows else replicas[: max_rows - 1]
    for replica in shown:
        table.add_row(
            Text(clean(replica.name)[-24:]),
            f"{replica.state.rss_bytes / 1e6:.0f}",
            span(replica.state.uptime_s),
            Text(span(replica.last_seen_s), "bold red" if replica.is_silent else ""),
            Text(clean(_doing(replica))[:40]),
        )
    if len(shown) < len(replicas):
        table.add_row(Text(f"{len(replicas) - len(shown)} more", "dim"), "", "", "", "")
    return table


def _doing(replica: KnownProcess) -> str:
    """Entries in progress by stage, and the oldest of them."""
    if replica.state.role == "tick":
        return "writes ticks"
    if replica.state.role == "asterisk":
        return "watches Asterisk"
    if replica.state.role == "webhooks":
        return "posts outcomes"
    busy = {stage: state for stage, state in replica.state.stages.items() if state.in_progress}
    counts = ", ".join(f"{stage} {state.in_progress}" for stage, state in busy.items())
    entries = [entry for state in busy.values() for entry in state.doing]
    oldest = max(entries, key=lambda entry: entry.for_s, default=None)
    return f"{counts}: {oldest.subject}" if oldest else counts or "idle"


def new_table(*columns: str) -> Table:
    """Columns that begin with # are numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        is_number = column.startswith("#")
        table.add_column(
            column.removeprefix("#"),
            justify="right" if is_number else "left",
            no_wrap=True,
            overflow="ellipsis",
        )
    return table


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def span(seconds: float) -> str:
    """A duration in at most five characters: 0.4s, 42s, 5m, 1h05, 3d."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    if seconds < 100:
        return f"{seconds:.0f}s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes}m"
    return f"{minutes // 60}h{minutes % 60:02}" if minutes < 24 * 60 else f"{minutes // 1440}d"


def clean(text: str) -> str:
    """`text` without anything that could move a cursor: names come from the backend."""
    return "".join(each if each.isprintable() else "·" for each in text)
