"""Shows a running demo: a live table on a terminal, else a plain line every few seconds."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streamdialer.simulation.demo.child_processes import ChildProcess
from streamdialer.simulation.demo.options import DemoOptions
from streamdialer.simulation.demo.snapshot import Snapshot
from streamdialer.simulation.demo.summary import Summary, describe

LINE_EVERY_S: Final = 5.0


class View:
    """A context manager; `show` is called at every look."""

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

    def show(self, look: Snapshot, replicas: list[ChildProcess], killed: int, seconds: float) -> None:
        if self._live is not None:
            self._live.update(self._tables(look, replicas, killed, seconds), refresh=True)
        elif seconds >= self._next_line_at:
            self._next_line_at = seconds + LINE_EVERY_S
            self._console.print(self._line(look, killed, seconds), soft_wrap=True, highlight=False)

    def show_summary(self, summary: Summary) -> None:
        width = max(len(label) for label, _ in describe(summary))
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, min_width=width)
        table.add_column(overflow="fold")
        for label, text in describe(summary):
            bad = label in ("Double dials", "Contacts lost") and text != "0"
            table.add_row(label, Text(text, style="bold red" if bad else ""))
        if not self._console.is_terminal:
            for label, text in describe(summary):
                self._console.print(
                    f"{label:<{width}}  {text}", soft_wrap=True, highlight=False, markup=False
                )
            return
        self._console.print(table)

    def _line(self, look: Snapshot, killed: int, seconds: float) -> str:
        total = look.audit.total
        kills = f", {killed} replicas killed" if killed else ""
        return (
            f"{seconds:.0f} s: {look.total('final')} of {self._options.contacts} contacts final, "
            f"{total.originates} calls placed, {total.answered_by_person} answered, {total.abandoned} abandoned, "
            f"{look.total('deferred')} waiting for a retry, {look.agents['available']} agents free, "
            f"{look.audit.double_dials} double dials{kills}"
        )

    def _tables(
        self, look: Snapshot, replicas: list[ChildProcess], killed: int, seconds: float
    ) -> RenderableType:
        below = Table.grid(padding=(0, 5))
        below.add_row(_replicas(look, replicas), _streams(look))
        return Group(
            self._headline(look, killed, seconds),
            _campaigns(look, self._options),
            below,
            self._progress(look),
        )

    def _headline(self, look: Snapshot, killed: int, seconds: float) -> RenderableType:
        life_min = seconds * self._options.speed / 60
        agents = look.agents
        lines = [
            f"{seconds:.0f} s, {life_min:.0f} min of life · {self._options.agents} agents: "
            f"{agents['available']} free, {agents['busy']} busy, {agents['wrapup']} in wrap-up",
            f"double dials {look.audit.double_dials} · dead letters {look.dead}"
            + (f" · replicas killed {killed}" if self._options.kill_every_s else ""),
        ]
        return Text("\n".join(lines))

    def _progress(self, look: Snapshot) -> RenderableType:
        final, contacts = look.total("final"), self._options.contacts
        row = Table.grid(padding=(0, 2))
        row.add_row(ProgressBar(contacts, final, width=50), f"{final:,} of {contacts:,} final")
        return row


def _table(*columns: str) -> Table:
    """Columns that begin with # are numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        number = column.startswith("#")
        table.add_column(column.removeprefix("#"), justify="right" if number else "left", no_wrap=True)
    return table


def _campaigns(look: Snapshot, options: DemoOptions) -> Table:
    """The telephone network says what rings, the ledger where the contacts are."""
    table = _table(
        *("ID", "Mode", "Status", "#Ringing", "#Talking", "#Answered", "#Abandoned"),
        *("#Ready", "#Waiting", "#Final"),
    )
    tallies = {str(campaign): tally for campaign, tally in look.audit.campaigns.items()}
    for campaign in look.campaigns:
        tally = tallies.get(campaign.id)
        table.add_row(
            campaign.id,
            options.mode,
            "stuck" if campaign.is_stuck else campaign.status,
            *map(str, (campaign.dialing, campaign.connected, tally.answered_by_person if tally else 0)),
            f"{tally.abandon_rate:.1%}" if tally else "",
            *map(str, (campaign.ready, campaign.deferred, campaign.final)),
        )
    return table


def _replicas(look: Snapshot, replicas: list[ChildProcess]) -> Table:
    table = _table("Replica", "#Process", "#In hand")
    for child in replicas:
        in_hand = sum(stream.in_hand.get(child.name, 0) for stream in look.streams.values())
        table.add_row(child.name, str(child.pid), str(in_hand))
    return table


def _streams(look: Snapshot) -> Table:
    table = _table("Stream", "#Length", "#Read")
    for stage, stream in look.streams.items():
        table.add_row(stage, str(stream.length), str(stream.read))
    return table
