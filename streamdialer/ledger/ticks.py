"""Typed stubs of the scripts of ticks: each is added at most once, taken, and its result stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, get_args

import msgspec

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Argument, Script, Scripts
from streamdialer.model import Block, TickKind, TickResult
from streamdialer.rules.caps import CapReason

_PACKAGE: Final = "streamdialer.ledger"
ENQUEUE_TICKS, START_TICK, SAVE_TICK_RESULT = (
    Script(_PACKAGE, name) for name in ("enqueue_ticks", "start_tick", "save_tick_result")
)
CHUNK: Final = 500
BLOCKS_MAXLEN: Final = 50_000
"""About how many ticks that rules have blocked contacts in are kept, of all campaigns: some 50 MB at most, where each
names 50 contacts."""
RULE_REASONS: Final = frozenset({*get_args(CapReason), "window_closed", "zone_unknown", "do_not_call"})
"""Why a rule of law, or the campaign's own, forbids a call to a contact."""
DECISIONS_KEPT_MS: Final = 7 * 86_400_000


class TickStart(msgspec.Struct, frozen=True):
    """The campaign at the start of a tick."""

    server_ms: int
    ledger_ms: int
    queue: str
    """'' when the ledger does not know the campaign."""
    ready: int
    """Contacts that may be placed now."""
    agents_polled_ms: int
    """When the queue's agent list was requested, ledger ms; 0: it must be read, or another queue was looked at."""
    freed: int = 0
    """Free agents of the queue whom an event has freed: they need no list; 0 when another queue was looked at."""
    backend_paused_ms: int = 0
    """How long the backend asks for no requests."""
    dialer_api_paused_ms: int = 0
    status: str | None = None
    """The status in the public hash."""
    is_over: bool = False
    """No contact may be placed, and the result offered for that is stored as the tick's."""


class ResultWithoutContacts(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a tick when no contact may be placed."""

    result: TickResult
    decided_ms: int
    """When the tick began that decided so, ledger ms."""
    deadline_ms: int
    """How long a call of the campaign may be silent."""
    keep_s: float
    """How long the result is kept."""


class TickLedger:
    """Adds each tick once, however many producers write it."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def enqueue(
        self,
        kind: TickKind,
        campaigns: Sequence[str],
        interval_s: float = 0,
        traces: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Adds a tick for each campaign whose time slot has come (`interval_s` 0: at once); the ids of those added.

        `traces` has the `traceparent` of what caused the tick, by campaign.
        """
        keys, added = self._keys, []
        for at in range(0, len(campaigns), CHUNK):
            chunk = campaigns[at : at + CHUNK]
            names = [keys.stream("ticks"), keys.waiting_ticks, keys.tick_slots, keys.server, keys.directory]
            names += map(keys.campaign, chunk)
            trace_args = [traces.get(campaign, "") for campaign in chunk] if traces else []
            added += await self._scripts.run(
                ENQUEUE_TICKS, names, [kind, round(interval_s * 1000), *chunk, *trace_args]
            )
        return [tick for tick in added if tick]

    async def start(
        self,
        campaign: str,
        tick_id: str,
        queue: str = "",
        without_contacts: ResultWithoutContacts | None = None,
    ) -> TickStart:
        """Lets another dial tick be added from now on. `queue` is the queue whose agents are looked at.

        `without_contacts` becomes the tick's result when no contact may be placed.
        """
        keys = self._keys
        offer: list[Argument] = ["", 0, 0, 0]
        if without_contacts:
            result = msgspec.json.encode(without_contacts.result).decode().removesuffix("}")
            keep_ms = round(without_contacts.keep_s * 1000)
            offer = [result, keep_ms, without_contacts.deadline_ms, without_contacts.decided_ms]
        names = [
            keys.waiting_ticks,
            keys.campaign(campaign),
            keys.directory,
            keys.ready(campaign),
            keys.queue_state(queue),
            keys.server,
            keys.agent_callbacks(campaign),
            keys.queue_free(queue),
            keys.queue_freed(queue),
            keys.paused("backend"),
            keys.paused("dialer_api"),
            keys.tick(tick_id),
            keys.totals(campaign),
            keys.reserved(campaign),
            keys.dialing(campaign),
            keys.connected(campaign),
            keys.queue_busy(queue),
        ]
        answer = await self._scripts.run(START_TICK, names, [campaign, tick_id, queue, *offer])
        return msgspec.json.decode(answer, type=TickStart)

    async def save_result(self, tick_id: str, result: TickResult, *, keep_s: float, decisions: int) -> None:
        """Stores the result under the tick's id and, for a dial tick, as the campaign's decision record."""
        keys, campaign = self._keys, result.campaign_id
        await self._scripts.run(
            SAVE_TICK_RESULT,
            [keys.tick(tick_id), keys.decisions(campaign), keys.campaign(campaign), keys.blocks],
            [
                campaign,
                tick_id,
                msgspec.json.encode(msgspec.structs.replace(result, blocks=None)).decode(),
                round(keep_s * 1000),
                "1" if result.kind == "dial" and result.reason != "throttled" else "0",
                decisions,
                DECISIONS_KEPT_MS,
                msgspec.json.encode(result.blocks).decode() if result.blocks else "",
                BLOCKS_MAXLEN,
            ],
        )


def all_blocks(blocks: Iterable[Block], counts: Mapping[str, int]) -> list[Block]:
    """The blocks, and for each rule's reason what they lack of the `counts`: contacts whose rule is not known."""
    found = [block for block in blocks if block.reason in RULE_REASONS]
    rest = Counter({reason: count for reason, count in counts.items() if reason in RULE_REASONS})
    for block in found:
        rest[block.reason] -= block.count
    return found + [Block(reason, count) for reason, count in rest.items() if count > 0]
