"""Time and memory of the scripts at the sizes of a big contact centre: `python -m bench.capacity`

500 campaigns on 20 queues. The first queue has 10,000 agents, its first campaign 100,000 ready contacts and 1,000,000
finished ones whose end the backend refused (of others the ledger keeps nothing after ten minutes). Each line is
how long Redis did nothing else, at these sizes and at a hundredth of them: what does not grow takes as long at both.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
import msgspec

from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.queue_pacing import campaign_pacing
from streamdialer.consumers.dialing.queue_turns import QueueTurns
from streamdialer.consumers.services import Services, open_services
from streamdialer.ledger.event_facts import fact_of
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.ledger.types import ClaimRequest, LoadRow, ledger_limits
from streamdialer.model import Agent, CallEvent, CampaignSettings
from streamdialer.rules.retry import retry_plan
from streamdialer.simulation.embedded_redis import EmbeddedServer

ROUNDS: Final = 20
PAGE: Final = 500
PAGES_AT_ONCE: Final = 10
SETTINGS: Final = CampaignSettings(queue_name="q0")


class Sizes(msgspec.Struct, frozen=True):
    """How big the contact centre is."""

    campaigns: int = 500
    queues: int = 20
    agents: int = 10_000
    ready: int = 100_000
    finished: int = 1_000_000


SMALL: Final = Sizes(campaigns=5, queues=1, agents=100, ready=1_000, finished=10_000)


def contact_row(number: int) -> LoadRow:
    phone = f"+57300{number:07d}"
    call = msgspec.json.encode({"id": number, "phone_number": phone, "n": [phone]}).decode()
    return LoadRow(str(number), 5, 0, call, shown="x")


class Centre:
    """A ledger of these sizes, and what is done to it."""

    def __init__(self, services: Services, sizes: Sizes) -> None:
        self._services, self._sizes = services, sizes
        self._turns = QueueTurns(services)
        self._states: list[Any] = ["available"] * sizes.agents
        self._events = self._tokens = 0

    async def build(self) -> dict[str, float]:
        """The memory of its parts, MB."""
        services, sizes = self._services, self._sizes
        await mark_server_trusted(services.client, services.keys)
        memory = {"empty": await self._used_mb()}
        pacing = msgspec.json.encode(
            campaign_pacing(SETTINGS, ledger_limits(services.settings), is_open=True)
        ).decode()
        for number in range(sizes.campaigns):
            campaign = str(number)
            await services.client.hset(services.keys.campaign(campaign), "status", "active")
            await services.campaigns.register(campaign, f"q{number % sizes.queues}", pacing, previous="")
            if number:
                await services.campaigns.load(campaign, [contact_row(10_000_000 + number)], 3)
        memory["campaigns"] = await self._used_mb()
        for first in range(0, sizes.ready, PAGES_AT_ONCE * PAGE):
            async with anyio.create_task_group() as tasks:
                for page in range(first, min(first + PAGES_AT_ONCE * PAGE, sizes.ready), PAGE):
                    rows = [contact_row(n) for n in range(page, min(page + PAGE, sizes.ready))]
                    tasks.start_soon(services.campaigns.load, "0", rows, 3)
        memory["ready contacts"] = await self._used_mb()
        for first in range(0, sizes.finished, 10 * PAGE):
            marks: Any = {
                str(5_000_000 + first + n): "x" for n in range(min(10 * PAGE, sizes.finished - first))
            }
            await services.client.hset(services.keys.refused("0"), mapping=marks)
        memory["finished contacts"] = await self._used_mb()
        await self.list_agents()
        memory["agents"] = await self._used_mb()
        names = list(memory)
        return {name: round(memory[name] - memory[before], 1) for before, name in itertools.pairwise(names)}

    async def _used_mb(self) -> float:
        info: Any = await self._services.client.info("memory")
        return float(info["used_memory"]) / 1e6

    async def list_agents(self) -> None:
        agents = [Agent(number, state) for number, state in enumerate(self._states)]
        asked = await self._services.queues.begin_agent_poll("q0")
        await self._services.queues.replace_agents("q0", agents, asked.ledger_ms)

    async def list_changed_agents(self) -> None:
        changed = "busy" if self._states[0] == "available" else "available"
        self._states[::2] = [changed] * len(self._states[::2])
        await self.list_agents()

    async def load_known(self) -> None:
        await self._services.campaigns.load(
            "0", [contact_row(self._sizes.ready - n) for n in range(1, PAGE)], 3
        )

    async def load_finished(self) -> None:
        await self._services.campaigns.load("0", [contact_row(5_000_000 + n) for n in range(PAGE)], 3)

    async def claim(self, calls: int) -> None:
        services = self._services
        self._tokens += 1
        members = await services.queues.campaigns("q0")
        placed = int(await services.client.zcard(services.keys.reserved("0")))
        request = ClaimRequest(
            token=str(self._tokens),
            level=placed + calls,
            free_agents=0,
            calls_per_agent=1000.0,
            max_concurrent=1_000_000,
            batch=500,
            open_until_ms=None,
            retry=retry_plan(SETTINGS),
            others={name: 1.0 for name in members if name != "0"},
        )
        claimed = await services.campaigns.reserve_contacts("0", "q0", request)
        assert claimed.dialed == calls, claimed

    async def claim_one(self) -> None:
        await self.claim(1)

    async def claim_hundred(self) -> None:
        await self.claim(min(100, self._sizes.ready // 100))

    async def look_whose_turn_it_is(self) -> None:
        await self._turns.next_campaigns("q0")

    async def free_an_agent(self) -> None:
        self._events += 1
        state: Any = "busy" if self._events % 2 else "available"
        await self._services.queues.apply_agent_event(
            "q0", "7", state=state, entry=f"{4_000_000_000_000 + self._events}-0"
        )

    async def answer_a_call(self) -> None:
        services = self._services
        contact = str((await services.client.zrange(services.keys.reserved("0"), 0, 0))[0])
        event = CallEvent(
            type="call_answered", campaign_id="0", contact_id=contact, call_id=f"c{contact}", agent_id="9"
        )
        await services.campaigns.apply_call_event(event, fact_of(event), "q0", "4000000000000-0")

    async def sweep(self) -> None:
        await self._services.campaigns.sweep("0", 200)


async def measure(sizes: Sizes) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """The memory of the parts, MB; the median and the longest time of a script in each step, ms."""
    with EmbeddedServer() as server:
        async with open_services(Settings(redis_url=server.url)) as services:
            centre = Centre(services, sizes)
            memory = await centre.build()
            steps: list[Callable[[], Awaitable[None]]] = [
                centre.list_agents,
                centre.list_changed_agents,
                centre.load_known,
                centre.load_finished,
                centre.look_whose_turn_it_is,
                centre.free_an_agent,
                centre.claim_one,
                centre.claim_hundred,
                centre.answer_a_call,
                centre.sweep,
            ]
            times = {step.__name__: await _time(services, step) for step in steps}
    return memory, times


async def _time(services: Services, step: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    client: Any = services.client
    await step()
    await client.config_set("slowlog-log-slower-than", 0)
    await client.config_set("slowlog-max-len", 10_000)
    await client.slowlog_reset()
    for _ in range(ROUNDS):
        await step()
    entries = await client.slowlog_get(10_000)
    await client.config_set("slowlog-log-slower-than", -1)
    taken = sorted(
        entry["duration"] / 1000 for entry in entries if str(entry["command"]).find("EVALSHA") >= 0
    )
    return taken[len(taken) // 2], taken[-1]


async def main() -> None:
    sizes = Sizes()
    small, (memory, times) = (await measure(SMALL))[1], await measure(sizes)
    write = sys.stdout.write
    write(f"{sizes}\n\nmemory, MB: {memory}\n\n{'step':26} median, longest ms | a hundredth of it\n")
    for name, (median, longest) in times.items():
        write(f"{name:26} {median:8.2f} {longest:8.2f}   | {small[name][0]:6.2f} {small[name][1]:6.2f}\n")


if __name__ == "__main__":
    anyio.run(main)
