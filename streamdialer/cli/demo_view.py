"""Shows a running demo: a live picture on a terminal, else a plain line every few seconds."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streamdialer.cli.top_view import new_table
from streamdialer.simulation.demo.child_processes import ChildProcess
from streamdialer.simulation.demo.options import DemoOptions
from streamdialer.simulation.demo.snapshot import Snapshot, is_stuck
from streamdialer.simulation.demo.summary import Summary, describe

LINE_INTERVAL_S: Final = 5.0


class DemoView:
    """A context manager; the demo calls `show` with every snapshot."""

    def __init__(self, options: DemoOptions, console: Console, *, live: bool) -> None:
        self._options = options
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if live else None
        self._next_line_at = 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
            self._live.update(Text("starting …"), refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, snapshot: Snapshot, replicas: list[ChildProcess], killed: int, seconds: float) -> None:
        if self._live is not None:
            self._live.update(self._picture(snapshot, replicas, killed, seconds), refresh=True)
        elif seconds >= self._next_line_at:
            self._next_line_at = seconds + LINE_INTERVAL_S
            self._print_line(self._line(snapshot, killed, seconds))

    def show_summary(self, summary: Summary) -> None:
        rows = describe(summary)
        width = max(len(label) for label, _ in rows)
        if not self._console.is_terminal:
            for label, text in rows:
                self._print_line(f"{label:<{width}}  {text}")
            return
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, min_width=width)
        table.add_column(overflow="fold")
        for label, text in rows:
            is_bad = label in ("Double dials", "Contacts lost") and text != "0"
            table.add_row(label, Text(text, style="bold red" if is_bad else ""))
        self._console.print(table)

    def _print_line(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)

    def _line(self, snapshot: Snapshot, killed: int, seconds: float) -> str:
        total = snapshot.audit.total
        kills = f", {killed} replicas killed" if killed else ""
        return (
            f"{seconds:.0f} s: {snapshot.total('final')} of {self._options.contacts} contacts final, "
            f"{total.originates} calls placed, {total.answered_by_person} answered, {total.abandoned} abandoned, "
            f"{snapshot.total('deferred')} deferred, {snapshot.agents['available']} agents free, "
            f"{snapshot.audit.double_dials} double dials{kills}"
        )

    def _picture(
        self, snapshot: Snapshot, replicas: list[ChildProcess], killed: int, seconds: float
    ) -> RenderableType:
        below = Table.grid(padding=(0, 5))
        below.add_row(_replicas(snapshot, replicas), _streams(snapshot))
        progress = Table.grid(padding=(0, 2))
        final, contacts = snapshot.total("final"), self._options.contacts
        progress.add_row(ProgressBar(contacts, final, width=50), f"{final:,} of {contacts:,} final")
        return Group(
            self._headline(snapshot, killed, seconds), _campaigns(snapshot, self._options), below, progress
        )

    def _headline(self, snapshot: Snapshot, killed: int, seconds: float) -> RenderableType:
        life_min = seconds * self._options.speed / 60
        agents = snapshot.agents
        return Text(
            f"{seconds:.0f} s, {life_min:.0f} min of life · {self._options.agents} agents: "
            f"{agents['available']} free, {agents['busy']} busy, {agents['wrapup']} in wrap-up\n"
            f"double dials {snapshot.audit.double_dials} · dead letters {snapshot.overview.dead}"
            + (f" · replicas killed {killed}" if self._options.kill_every_s else "")
        )


def _campaigns(snapshot: Snapshot, options: DemoOptions) -> Table:
    """Answers and abandoned calls as the simulated telephone network counts them, the rest from Redis."""
    table = new_table(
        *("ID", "Mode", "Status", "#Ringing", "#Talking", "#Answered", "#Abandoned"),
        *("#Ready", "#Deferred", "#Final"),
    )
    for campaign in snapshot.overview.campaigns:
        counts = snapshot.audit.campaigns.get(int(campaign.campaign_id))  # None before its first call
        table.add_row(
            str(campaign.campaign_id),
            options.mode,
            "stuck" if is_stuck(campaign) else campaign.status,
            *map(str, (campaign.ringing, campaign.connected, counts.answered_by_person if counts else 0)),
            f"{counts.abandon_rate:.1%}" if counts else "",
            *map(str, (campaign.ready, campaign.deferred, campaign.final)),
        )
    return table


def _replicas(snapshot: Snapshot, replicas: list[ChildProcess]) -> Table:
    table = new_table("Replica", "#Process", "#In progress")
    for child in replicas:
        in_hand = sum(stream.consumers.get(child.name, 0) for stream in snapshot.overview.streams)
        table.add_row(child.name, str(child.pid), str(in_hand))
    return table


def _streams(snapshot: Snapshot) -> Table:
    table = new_table("Stream", "#Length", "#Read")
    for stream in snapshot.overview.streams:
        table.add_row(stream.stream, str(stream.length), str(stream.read))
    return table
