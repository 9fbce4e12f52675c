"""Odd events against real replicas and a real Redis: `python -m bench.event_fuzz [--events 20000] [--seed 1]`.

A simulated call centre dials its contacts. Meanwhile every kind of odd entry is written to `dialer:events`: any JSON in
any field, broken JSON, any bytes, thousands of fields, deep nesting, large entries, events of campaigns that do not
exist. None of them is about a call of the centre. At the end every contact must have been called as often as
without them, no process may have ended, and every invariant must hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import sys
from typing import Any, Final

import anyio
import msgspec
from redis.asyncio import Redis

from bench.key_leaks import (
    allowed_after_cleanup,
    allowed_for_campaigns,
    allowed_for_contacts_in_progress,
    find_leaks,
)
from streamdialer.broker.keys import Keys
from streamdialer.config.settings import Settings
from streamdialer.producers.events import EVENT_TYPES

KEYS: Final = Keys()
ABSENT: Final = ("999", "none", "")
FIELDS: Final = (
    "campaign_id",
    "contact_id",
    "call_id",
    "attempt_id",
    "agent_id",
    "queue",
    "answered_by",
    "duration",
    "disposition",
    "cause",
    "phone_number",
    "reason",
    "at",
    "source",
    "since",
    "calls",
    "\x1b[31mred\nname",
    "",
)
ODD_TEXTS: Final = (
    "",
    " ",
    "\x00",
    "\x1b]0;title\x07",
    "a\nERROR forged",
    "\ufeff",
    "\u202e",
    "é" * 300,
    "x" * 5000,
    "NaN",
    "-1",
    "1e999",
    "null",
    "[]",
    "{}",
    "'; DROP",
    "../..",
    "*",
    "{x}",
    "9" * 400,
    "2030-01-01T00:00:00Z",
    "+57 300 1234567",
    "=1+1",
)


class Fuzz:
    """Odd entries from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def entry(self) -> dict[Any, Any]:
        """The fields of one entry; none is about a contact of the centre."""
        chosen = self._random.random()
        kind = self._random.choice((*EVENT_TYPES, "zzz", "", "call_answered\n"))
        if chosen < 0.65:
            data = json.dumps(self._data())
            return {"type": kind, "data": data}
        if chosen < 0.75:
            return {"type": kind, "data": json.dumps(self._data())[: self._random.randrange(1, 60)]}
        if chosen < 0.80:
            return {"type": kind, "data": self._random.randbytes(self._random.randrange(200))}
        if chosen < 0.90:
            flat = {name: self._random.choice(ODD_TEXTS) for name in self._random.sample(FIELDS, 4)}
            return {"type": kind} | flat | {"campaign_id": self._random.choice(ABSENT)}
        if chosen < 0.93:
            depth = self._random.choice((300, 600, 1_000, 5_000))
            return {"type": kind, "data": "[" * depth + "]" * depth}
        if chosen < 0.95:
            return {"type": kind} | {f"f{n}": "1" for n in range(self._random.choice((300, 1_500, 4_500)))}
        if chosen < 0.96:
            return {"type": kind, "campaign_id": "999", "call_id": "x" * 100_000}
        return {self._random.randbytes(9): self._random.randbytes(9)}

    def _data(self) -> object:
        """Any JSON in any field; the campaign does not exist."""
        names = self._random.sample(FIELDS, self._random.randrange(len(FIELDS)))
        return {name: self._value(3) for name in names} | {
            "campaign_id": self._random.choice((*ABSENT, None, 998, [7], True))
        }

    def _value(self, depth: int) -> object:
        chosen = self._random.randrange(9 if depth else 6)
        if chosen == 0:
            return self._random.choice((None, True, False))
        if chosen == 1:
            return self._random.choice((0, 1, -1, 2**63, 10**30, 17, 486))
        if chosen == 2:
            return self._random.choice((0.5, 1e308, float("nan"), float("inf"), 3.0))
        if chosen < 6:
            return self._random.choice(ODD_TEXTS)
        if chosen < 8:
            return [self._value(depth - 1) for _ in range(self._random.randrange(4))]
        return {self._random.choice(FIELDS): self._value(depth - 1) for _ in range(self._random.randrange(4))}


async def write_odd_events(client: Redis, seed: int, count: int, pause_s: float = 0.0) -> None:
    """Writes `count` odd entries, a hundred at a time."""
    fuzz = Fuzz(seed)
    for first in range(0, count, 100):
        pipe = client.pipeline(transaction=False)
        for _ in range(min(100, count - first)):
            pipe.xadd(KEYS.stream("events"), fuzz.entry())
        await pipe.execute()
        await anyio.sleep(pause_s)


async def leaks(client: Redis) -> list[str]:
    """Keys that odd events have left and should not have."""
    table = [
        *allowed_after_cleanup(Settings().result_ttl_s),
        *allowed_for_campaigns(["*"]),
        *allowed_for_contacts_in_progress(),
    ]
    return await find_leaks(client, table)


class _Failures(logging.Handler):
    """Counts handlers that failed: our own faults."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += record.getMessage() == "handler failed"


async def _run(events: int, seed: int) -> int:
    from streamdialer.simulation.embedded_redis import EmbeddedServer
    from streamdialer.simulation.world.build import build_world
    from tests.support.dialer import run_dialer
    from tests.support.ledger_invariants import check_ledger

    contacts, failures, log = max(50, events // 50), _Failures(), logging.getLogger("streamdialer")
    log.handlers, log.propagate = [failures], False
    with EmbeddedServer() as server:
        settings = Settings(redis_url=server.url)
        settings = msgspec.structs.replace(settings, claim_min_idle_s=1.0, sweep_interval_s=0.1)
        async with run_dialer(settings, build_world(agents=20, contacts=contacts, speed=60)) as dialer:
            await write_odd_events(dialer.services.client, seed, events, 0.05)
            audit = await dialer.until_all_are_final(within_s=300)
            await check_ledger(dialer.services.client, KEYS, ["1"])
            left, dead = await leaks(dialer.services.client), await dialer.dead.count()
    calls = audit.total.originates
    summary = f"{events} odd events of seed {seed}: {contacts} contacts, {calls} calls, {dead} dead letters"
    problems = [*left, *([f"{audit.double_dials} contacts were called twice"] if audit.double_dials else [])]
    if failures.count:
        problems.append(f"{failures.count} handlers failed")
    sys.stdout.write("\n".join([summary, *problems]) + "\n")
    return 1 if problems else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    raise SystemExit(asyncio.run(_run(options.events, options.seed)))


if __name__ == "__main__":
    main()
