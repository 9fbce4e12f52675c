"""Runs the command line without one guard of the design: a check that cannot fail proves nothing.

    python -m bench.without_guard begin-mark -- consume

The product has no such switch; the guard is patched away in this process only.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Final, Literal, get_args

from streamdialer.broker.scripts import Script
from streamdialer.cli import main
from streamdialer.ledger.campaigns import CampaignLedger
from streamdialer.ledger.types import MarkSent
from streamdialer.model import Attempt

Guard = Literal[
    "begin-mark",
    "reservation",
    "send-deadline",
    "silence",
    "api-queue",
    "memory",
    "person-lock",
    "shared-agents",
    "update-order",
    "refused-mark",
]
GUARDS: Final[tuple[Guard, ...]] = get_args(Guard)


def _allow(refusal: str) -> None:
    """`mark_sent` permits the request although the ledger answers with this refusal."""
    mark_sent = CampaignLedger.mark_sent

    async def allowing(
        self: CampaignLedger, attempt: Attempt, run: str, open_until: str, caller_ids: str = ""
    ) -> MarkSent:
        answer = await mark_sent(self, attempt, run, open_until, caller_ids)
        return MarkSent("ok") if answer.status == refusal else answer

    CampaignLedger.mark_sent = allowing  # type: ignore[method-assign]


def _begin_mark() -> None:
    """An attempt that is marked as sent is sent again when its entry is delivered again."""
    _allow("sent")


def _reservation() -> None:
    """An entry without a reservation is sent, although another attempt may have the contact."""
    _allow("stale")


def _send_deadline() -> None:
    """A process that was stopped between mark and request sends the request when it wakes up, however late."""
    calls = import_module("streamdialer.consumers.calls")
    calls.SEND_WITHIN_S = math.inf  # type: ignore[attr-defined]


def _silence() -> None:
    """A deadline ends an attempt although its events may still come."""
    _patch_scripts(
        "local function silence_is_conclusive(contact, record, attempt)",
        "if true then return true end",
    )


def _api_queue() -> None:
    """An attempt counts as begun when it was sent, although it may wait in the Dialer API behind other calls."""
    _patch_scripts("function api_queue.moved_at(first_events, attempt)", "if true then return attempt.sm end")


def _memory() -> None:
    """A server that may have lost calls is trusted."""
    _patch_scripts("local function server_trouble(server, ledger_ms, hold_ms)", "if true then return nil end")


def _person_lock() -> None:
    """Contacts and campaigns call a number or a person that has a call already."""
    _patch_scripts("local function other_call(contact, record)", "if true then return nil end")


def _shared_agents() -> None:
    """Every queue counts all its free agents, although a call of another queue may need them."""
    _patch_scripts(
        "function usable_agents(first, queue, sharing, counts_listed)",
        "if true then return redis.call('ZCARD', KEYS[first + (counts_listed and 1 or 2)]) end",
    )


def _update_order() -> None:
    """The ledger's state is sent although the backend shows a newer one, or has finished the contact."""

    async def verdict(*_: object) -> str:
        return "taken"

    import_module("streamdialer.consumers.update_order").UpdateOrder.verdict = verdict


def _refused_mark() -> None:
    """A contact without a record is loaded again although it is finished and the backend refused its end."""
    _patch_scripts(
        "local function stays_finished(contact, shown, is_tried_again)", "if true then return false end"
    )


def _patch_scripts(head: str, first: str) -> None:
    """Adds a statement at the start of a Lua function in all scripts of the ledger; LookupError when none has it."""
    patched = 0
    for name in ("campaigns", "event_sources", "queues", "ticks", "outbox", "recovery"):
        module = import_module(f"streamdialer.ledger.{name}")
        for script in {value for value in vars(module).values() if isinstance(value, Script)}:
            if head in script.source and first not in script.source:
                script.source = script.source.replace(head, f"{head}\n  {first}")
                script.sha = hashlib.sha1(script.source.encode(), usedforsecurity=False).hexdigest()
                patched += 1
    if not patched:
        raise LookupError(f"no script of the ledger has the line: {head}")


REMOVE: Final[dict[str, Callable[[], None]]] = {
    "begin-mark": _begin_mark,
    "reservation": _reservation,
    "send-deadline": _send_deadline,
    "silence": _silence,
    "api-queue": _api_queue,
    "memory": _memory,
    "person-lock": _person_lock,
    "shared-agents": _shared_agents,
    "update-order": _update_order,
    "refused-mark": _refused_mark,
}


def run(arguments: list[str]) -> None:
    """`GUARD -- ARGUMENTS of streamdialer`; exits like the command line, with 2 for wrong usage."""
    if len(arguments) < 2 or arguments[0] not in GUARDS or arguments[1] != "--":
        sys.stderr.write(f"usage: python -m bench.without_guard {{{','.join(GUARDS)}}} -- COMMAND …\n")
        raise SystemExit(2)
    REMOVE[arguments[0]]()
    sys.argv = ["streamdialer", *arguments[2:]]
    main()


if __name__ == "__main__":
    run(sys.argv[1:])
