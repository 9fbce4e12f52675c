"""How long an adaptive decision takes: `python -m bench.pacing`. Median and 99th percentile over random queues.

Measures processor time of the deciding thread, so other load on the machine does not count. `decide` has the learning
state in memory; `whole` loads it from JSON, decides and writes it back, as a replica does.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from functools import partial
from time import thread_time
from typing import Final

import msgspec

from streamdialer.pacing.adaptive import decide_adaptively
from streamdialer.pacing.learning import QueueLearning
from streamdialer.pacing.types import CampaignView, Observation, QueueView

SIZES: Final = ((5, 10, 1), (20, 40, 1), (50, 100, 1), (200, 400, 1), (200, 400, 4), (1000, 2000, 1))
"""Agents, ringing calls, campaigns."""
DECISIONS: Final = 2000
Instant = tuple[QueueView, list[Observation]]


def random_instant(stream: random.Random, now: float, agents: int, ringing: int, campaigns: int) -> Instant:
    """A busy queue: most agents talk, some wrap up, few are free."""
    talking = sorted(now - stream.expovariate(1 / 120.0) for _ in range(int(agents * 0.84)))
    wrapping = sorted(now - stream.expovariate(1 / 20.0) for _ in range(int(agents * 0.13)))
    views = [
        CampaignView(
            id=f"c{number}",
            ringing=sorted(now - 26.0 * stream.random() for _ in range(ringing // campaigns)),
            callable=10_000,
            answered_by_person=5000,
            abandoned=100,
        )
        for number in range(campaigns)
    ]
    view = QueueView(
        now=now,
        free=agents - len(talking) - len(wrapping),
        talking=talking,
        wrapping=wrapping,
        campaigns=views,
    )
    observations = []
    for _ in range(max(1, agents // 100)):
        human = stream.random() < 0.3
        ring_s = stream.gammavariate(4.0, 3.0) if human else 26.0
        observations.append(
            Observation(now, "human" if human else "no_answer", ring_s, f"c{stream.randrange(campaigns)}")
        )
    return view, [*observations, Observation(now, "talk", 120.0), Observation(now, "wrapup", 20.0)]


def time_decisions(decide: Callable[[QueueView, list[Observation]], object], instants: list[Instant]) -> str:
    """Median and 99th percentile, microseconds."""
    durations = []
    for view, observations in instants:
        begin = thread_time()
        decide(view, observations)
        durations.append(thread_time() - begin)
    durations.sort()
    return f"{1e6 * durations[len(durations) // 2]:8.0f} {1e6 * durations[int(0.99 * len(durations))]:8.0f}"


def main() -> None:
    """Prints one line per size."""
    write = sys.stdout.write
    write("agents ringing campaigns | decide: median, p99 us | whole: median, p99 us | state, bytes\n")
    for agents, ringing, campaigns in SIZES:
        stream = random.Random(1)
        instants = [random_instant(stream, 0.25 * k, agents, ringing, campaigns) for k in range(DECISIONS)]
        state = QueueLearning()
        decide = time_decisions(partial(decide_adaptively, state), instants)
        stored = [msgspec.json.encode(state)]

        def whole(view: QueueView, observations: list[Observation], stored: list[bytes] = stored) -> None:
            state = msgspec.json.decode(stored[0], type=QueueLearning)
            decide_adaptively(state, view, observations)
            stored[0] = msgspec.json.encode(state)

        line = f"{agents:6d} {ringing:7d} {campaigns:9d} | {decide}      | {time_decisions(whole, instants)}     |"
        write(f"{line} {len(stored[0])}\n")


if __name__ == "__main__":
    main()
