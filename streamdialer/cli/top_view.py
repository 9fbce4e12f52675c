"""The overview as a picture for a terminal of any size, from 80 columns and 24 lines upwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from streamdialer.broker.heartbeat import Replica
from streamdialer.operations.overview.views import Alert, CampaignOverview, Overview, StreamOverview

WIDE: Final = 110
"""Columns from which names and the less needed numbers are shown, and streams and replicas stand side by side."""
MAX_ALERTS: Final = 3
MAX_REPLICAS: Final = 4
"""Of a terminal of 24 lines; a taller one shows more."""
SHORT: Final = 24
_MODES: Final = {
    "preview": "prev",
    "progressive": "prog",
    "predictive": "pred",
    "adaptive": "adapt",
    "power": "power",
}


def render(seen: Overview, *, width: int, height: int, trouble: str = "") -> RenderableType:
    """No wider or higher than asked for; `trouble` says that what is shown is old."""
    is_wide = width >= WIDE
    alarms = [_alarm(one) for one in seen.alarms[:MAX_ALERTS]]
    if len(seen.alarms) > MAX_ALERTS:
        alarms[-1] = Text(f"{len(seen.alarms) - MAX_ALERTS + 1} more alarms (--json shows them)", "red")
    if trouble:
        alarms.insert(0, Text(trouble, "bold white on red"))
    room = MAX_REPLICAS + max(0, height - SHORT) // 3
    replicas = _replicas(seen.replicas, room)
    streams = _streams(seen.streams, seen.dead)
    if is_wide:
        below = Table.grid(padding=(0, 4))
        below.add_row(streams, replicas)
        lines_below = 1 + max(len(seen.streams) + 1, min(len(seen.replicas), room + 1))
        foot: list[RenderableType] = [below]
    else:
        lines_below = 2 + len(seen.streams) + 1 + min(len(seen.replicas), room + 1)
        foot = [streams, replicas]
    left = height - 1 - len(alarms) - lines_below - 1
    parts = [_headline(seen), *alarms, *_campaigns(seen, left, is_wide=is_wide), Text(""), *foot]
    for part in parts:
        if isinstance(part, Text):
            part.truncate(width, overflow="ellipsis")
    return Group(*parts)


def _headline(seen: Overview) -> Text:
    clock = datetime.fromtimestamp(seen.at / 1000, UTC).strftime("%H:%M:%S UTC")
    active = sum(one.status == "active" for one in seen.campaigns)
    free = sum(one.agents.free for one in seen.queues)
    there = sum(one.agents.logged_in for one in seen.queues)
    ringing = sum(one.ringing for one in seen.campaigns)
    connected = sum(one.connected for one in seen.campaigns)
    return Text(
        f"{clock} · {active} active · {free} of {there} agents free · {ringing} ringing, {connected} talking",
        "bold",
    )


def _alarm(alarm: Alert) -> Text:
    return Text(f"! {clean(alarm.text)}", "bold red" if alarm.level == "error" else "yellow")


def _campaigns(seen: Overview, lines: int, *, is_wide: bool) -> Iterable[RenderableType]:
    """The table, then why those that are not dialed are not, as far as there are lines."""
    silent = [one for one in seen.campaigns if not one.is_dialing and one.status == "active"]
    most = max(1, lines - 1)
    reasons = min(len(silent), max(1, most // 3)) if silent else 0
    rows = seen.campaigns[: most - reasons]
    if len(seen.campaigns) > len(rows):
        rows = rows[:-1]
    yield _table_of_campaigns(rows, seen.at, is_wide=is_wide)
    hidden = len(seen.campaigns) - len(rows) + seen.unshown
    if hidden:
        yield Text(f"{hidden} more campaigns", "dim")
    for one in silent[:reasons]:
        yield Text(clean(one.why), "yellow")


def _table_of_campaigns(campaigns: Sequence[CampaignOverview], now_ms: int, *, is_wide: bool) -> Table:
    columns = ["Id", *(["Name"] if is_wide else []), "Mode", "Status", "#Free/talk/wrap", "#Ring", "#Talk"]
    columns += ["#Doubt"] if is_wide else []
    columns += ["#Ans", "#Aband/cap", "#Util", "#Ready", "#Wait", *(["#Final"] if is_wide else []), "#End"]
    table = _table(*columns)
    for one in campaigns:
        agents, abandoning = one.agents, one.abandoning
        wide = (str(one.orphaned),) if is_wide else ()
        table.add_row(
            Text(str(one.campaign_id)[:12]),
            *((Text(clean(one.name)[:24]),) if is_wide else ()),
            _MODES.get(one.mode, "?"),
            _status(one),
            f"{agents.free}/{agents.busy}/{agents.wrapup}",
            str(one.ringing + one.reserved),
            str(one.connected),
            *wide,
            _share(one.answer_rate),
            Text("")
            if abandoning is None
            else Text(
                f"{abandoning.rate:.1%}/{100 * abandoning.cap:.3g}%",
                "bold red" if abandoning.is_over_cap else "",
            ),
            _share(one.utilisation),
            str(one.ready),
            str(one.deferred),
            *((str(one.final),) if is_wide else ()),
            "" if one.forecast_end is None else span(max(0, one.forecast_end - now_ms) / 1000),
        )
    return table


def _status(campaign: CampaignOverview) -> Text:
    if campaign.status != "active":
        return Text(clean(campaign.status or "none")[:9], "dim")
    return Text("dialing", "green") if campaign.is_dialing else Text("waiting", "yellow")


def _streams(streams: Sequence[StreamOverview], dead: int) -> Table:
    table = _table("Stream", "#Length", "#Lag", "#In hand", "#Oldest", "#Per s")
    for one in streams:
        oldest = "" if one.oldest_pending_s is None else span(one.oldest_pending_s)
        table.add_row(one.stream, str(one.length), str(one.lag), str(one.pending), oldest, f"{one.per_s:.1f}")
    table.add_row("dead", Text(str(dead), "yellow" if dead else ""), "", "", "", "")
    return table


def _replicas(replicas: Sequence[Replica], room: int) -> Table:
    table = _table("Replica", "#MB", "#Up", "#Heard", "Doing")
    shown = replicas if len(replicas) <= room else replicas[: room - 1]
    for one in shown:
        table.add_row(
            Text(clean(one.name)[-24:]),
            f"{one.state.rss_bytes / 1e6:.0f}",
            span(one.state.uptime_s),
            Text(span(one.last_seen_s), "bold red" if one.is_silent else ""),
            Text(clean(_doing(one))[:40]),
        )
    if len(shown) < len(replicas):
        table.add_row(Text(f"{len(replicas) - len(shown)} more", "dim"), "", "", "", "")
    return table


def _doing(replica: Replica) -> str:
    """Entries in hand by stage, and the oldest of them."""
    if replica.state.role == "tick":
        return "writes ticks"
    busy = {stage: one for stage, one in replica.state.stages.items() if one.in_progress}
    told = ", ".join(f"{stage} {one.in_progress}" for stage, one in busy.items())
    oldest = max(
        (one for stage in busy.values() for one in stage.doing), key=lambda one: one.for_s, default=None
    )
    return f"{told}: {oldest.subject}" if oldest else told or "idle"


def _table(*columns: str) -> Table:
    """Columns that begin with # are numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        number = column.startswith("#")
        table.add_column(
            column.removeprefix("#"), justify="right" if number else "left", no_wrap=True, overflow="ellipsis"
        )
    return table


def _share(share: float | None) -> str:
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
    """Other people's text without anything that could move a cursor."""
    return "".join(each if each.isprintable() else "·" for each in text)
