"""One agent, one call: agents of several queues, lists that lag, agents whom no list names."""

from __future__ import annotations

import itertools
import random
from typing import Any

import anyio
import msgspec
import pytest

from streamdialer.broker.scripts import Script
from streamdialer.consumers.services import Services
from streamdialer.ledger import queues as queues_module
from streamdialer.ledger.agent_queues import AgentQueues
from streamdialer.ledger.records import AgentRecord
from streamdialer.model import Agent
from tests.support.ledger_fixture import LedgerWorld
from tests.support.ledger_reader import move_clock

pytestmark = pytest.mark.anyio
DISTRUST_S = 10


class Centre:
    """Queues with one campaign each, whose agents may stand in several."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.worlds: dict[str, LedgerWorld] = {}

    async def open(self, **campaigns: str) -> None:
        """`c1="sales"` opens campaign 1 in the queue sales."""
        for name, queue in campaigns.items():
            self.worlds[queue] = LedgerWorld(self.services, queue)
            await self.worlds[queue].open_campaign(name.removeprefix("c"), contacts=0)
            campaign = name.removeprefix("c")
            rows = [LedgerWorld.row(f"{campaign}{number}") for number in range(100, 130)]
            await self.services.campaigns.load(campaign, rows, 3)

    async def list_agents(self, queue: str, **agents: str) -> None:
        """`a7="available"`."""
        rows = [Agent(name.removeprefix("a"), status) for name, status in agents.items()]
        asked = await self.services.queues.begin_agent_poll(queue)
        await self.services.queues.replace_agents(queue, rows, asked.ledger_ms)

    async def keep(self, campaign: str, queue: str, agents: int) -> None:
        """The campaign's queue keeps so many agents free for incoming calls."""
        pacing = f'{{"calls_per_agent":1.0,"is_open":true,"reserve_agents":{agents}}}'
        assert await self.services.campaigns.register(campaign, queue, pacing, previous=queue)

    async def claim(
        self, campaign: str, queue: str, level: int = 100, ratio: float = 1.0, kept: int = 0
    ) -> int:
        """How many calls a claim without any other limit reserves."""
        world = self.worlds[queue]
        world.tokens += 1
        sharing = await self.services.queues.sharing(queue)
        request = world.claim_request(
            f"t{campaign}.{world.tokens}",
            level,
            0,
            calls_per_agent=ratio,
            sharing=sharing,
            kept_agents=kept,
        )
        claimed = await self.services.campaigns.reserve_contacts(campaign, queue, request)
        assert claimed.reason is None, claimed
        return claimed.dialed

    async def free(self, queue: str) -> set[str]:
        return set(map(str, await self.services.client.zrange(self.services.keys.queue_free(queue), 0, -1)))


@pytest.fixture
def centre(services: Services) -> Centre:
    return Centre(services)


# ---- agents of several queues ----


async def test_an_agent_of_two_queues_counts_once(centre: Centre) -> None:
    await centre.open(c1="sales", c2="support")
    agents = {f"a{number}": "available" for number in range(1, 5)}
    await centre.list_agents("sales", **agents)
    await centre.list_agents("support", **agents)
    assert await centre.claim("1", "sales", level=3) == 3
    assert await centre.claim("2", "support") == 1
    assert await centre.claim("1", "sales") == 0


async def test_a_queue_uses_its_own_agents_first_however_the_calls_came(centre: Centre) -> None:
    """Agent 1 stands in both queues, agent 2 in support only: a call of support uses up agent 2."""
    await centre.open(c1="sales", c2="support")
    await centre.list_agents("sales", a1="available")
    await centre.list_agents("support", a1="available", a2="available")
    assert await centre.claim("2", "support", level=1) == 1
    assert await centre.claim("1", "sales") == 1
    assert await centre.claim("2", "support") == 0


async def test_a_call_of_a_third_queue_uses_an_agent_up_through_the_second(centre: Centre) -> None:
    """Sales and support share agent 1, support and service agent 2."""
    await centre.open(c1="sales", c2="support", c3="service")
    await centre.list_agents("sales", a1="available")
    await centre.list_agents("support", a1="available", a2="available")
    await centre.list_agents("service", a2="available")
    assert await centre.claim("2", "support", level=1) == 1
    assert await centre.claim("3", "service") == 1
    assert await centre.claim("1", "sales") == 0


async def test_a_call_at_a_ratio_uses_up_a_part_of_an_agent(centre: Centre) -> None:
    await centre.open(c1="sales", c2="support")
    pacing = '{"calls_per_agent":3.0}'
    assert await centre.services.campaigns.register("2", "support", pacing, previous="support")
    agents = {f"a{number}": "available" for number in range(1, 4)}
    await centre.list_agents("sales", **agents)
    await centre.list_agents("support", **agents)
    assert await centre.claim("2", "support", level=4, ratio=3.0) == 4
    assert await centre.claim("1", "sales") == 1


async def test_a_claim_that_does_not_know_the_other_queues_is_refused(centre: Centre) -> None:
    await centre.open(c1="sales", c2="support")
    await centre.list_agents("sales", a1="available")
    await centre.list_agents("support", a1="available")
    unknown: list[dict[str, list[str]]] = [{}, {"support": []}]
    for sharing in unknown:
        request = centre.worlds["sales"].claim_request("t", 1, 1, sharing=sharing)
        claimed = await centre.services.campaigns.reserve_contacts("1", "sales", request)
        assert (claimed.reason, claimed.dialed) == ("queue_changed", 0)
        assert await centre.services.queues.snapshot("sales", ["1"], sharing=sharing) is None
    sharing = await centre.services.queues.sharing("sales")
    assert sharing == {"support": ["2"]}
    state = await centre.services.queues.snapshot("sales", ["1"], sharing=sharing)
    assert state is not None
    assert (state.free, state.usable) == (1, 1)


def most_matched(agents: dict[str, list[str]], calls: dict[str, int]) -> bool:
    """Whether every call can have a free agent of its own queue, one each (Hall's condition)."""
    called = [queue for queue, placed in calls.items() if placed]
    return all(
        sum(calls[queue] for queue in chosen) <= sum(not set(chosen).isdisjoint(q) for q in agents.values())
        for size in range(1, len(called) + 1)
        for chosen in itertools.combinations(called, size)
    )


@pytest.mark.parametrize("seed", range(8))
async def test_every_unanswered_call_can_have_an_agent_of_its_own_and_none_is_kept_idle(
    centre: Centre, seed: int
) -> None:
    chance, queues = random.Random(seed), ["q1", "q2", "q3", "q4"]
    await centre.open(c1="q1", c2="q2", c3="q3", c4="q4")
    agents = {str(number): chance.sample(queues, chance.randint(1, 3)) for number in range(1, 9)}
    for queue in queues:
        here = {f"a{name}": "available" for name, stands_in in agents.items() if queue in stands_in}
        await centre.list_agents(queue, **here)
    calls = dict.fromkeys(queues, 0)
    for _ in range(20):
        campaign = chance.randint(1, 4)
        queue = queues[campaign - 1]
        calls[queue] += await centre.claim(str(campaign), queue, level=calls[queue] + chance.randint(1, 2))
        assert most_matched(agents, calls), (agents, calls)
    for campaign, queue in enumerate(queues, 1):
        calls[queue] += await centre.claim(str(campaign), queue)
        assert not most_matched(agents, {**calls, queue: calls[queue] + 1}), "an agent is kept idle"


async def test_a_queue_leaves_the_agents_free_that_it_keeps_for_incoming_calls(centre: Centre) -> None:
    await centre.open(c1="sales")
    await centre.list_agents("sales", **{f"a{number}": "available" for number in range(1, 6)})
    assert await centre.claim("1", "sales", kept=2) == 3
    assert await centre.claim("1", "sales", kept=5) == 0
    assert await centre.claim("1", "sales", kept=0) == 2


@pytest.mark.parametrize(("status", "left"), [("active", 1), ("paused", 3)])
async def test_a_queue_leaves_free_what_another_keeps_of_the_agents_they_share(
    centre: Centre, status: str, left: int
) -> None:
    await centre.open(c1="sales", c2="support")
    agents = {f"a{number}": "available" for number in range(1, 4)}
    await centre.list_agents("sales", **agents)
    await centre.list_agents("support", **agents)
    await centre.keep("2", "support", 2)
    await centre.services.client.hset(centre.services.keys.campaign("2"), "status", status)
    assert await centre.claim("1", "sales") == left


@pytest.mark.parametrize("seed", range(8))
async def test_kept_agents_can_be_kept_whatever_the_queues_share_and_no_other_is_kept_idle(
    centre: Centre, seed: int
) -> None:
    chance, queues = random.Random(seed), ["q1", "q2", "q3", "q4"]
    await centre.open(c1="q1", c2="q2", c3="q3", c4="q4")
    agents = {str(number): chance.sample(queues, chance.randint(1, 3)) for number in range(1, 11)}
    for queue in queues:
        here = {f"a{name}": "available" for name, stands_in in agents.items() if queue in stands_in}
        await centre.list_agents(queue, **here)
    needs = {queue: chance.randint(0, 2) for queue in queues}
    while not most_matched(agents, needs):
        needs = {queue: max(0, kept - 1) for queue, kept in needs.items()}
    kept, calls = dict(needs), dict.fromkeys(queues, 0)
    for campaign, queue in enumerate(queues, 1):
        await centre.keep(str(campaign), queue, kept[queue])
    for number in range(20):
        campaign = chance.randint(1, 4) if number < 16 else number - 15
        queue = queues[campaign - 1]
        level = calls[queue] + chance.randint(1, 2) if number < 16 else 100
        calls[queue] += await centre.claim(str(campaign), queue, level=level, kept=kept[queue])
        needs[queue] = calls[queue] + kept[queue]
        assert most_matched(agents, needs), (agents, calls, kept)
        if number >= 16:
            assert not most_matched(agents, {**needs, queue: needs[queue] + 1}), "an agent is kept idle"


# ---- one state in all queues ----


async def test_a_busy_agent_is_busy_in_all_queues_whatever_queue_said_so(centre: Centre) -> None:
    await centre.open(c1="sales", c2="support")
    for queue in ("sales", "support"):
        await centre.list_agents(queue, a1="available", a2="available")
    assert await centre.worlds["support"].agent_event("1", "busy") == "applied"
    assert await centre.free("sales") == await centre.free("support") == {"2"}
    await centre.claim("1", "sales", level=1)
    (call,) = await centre.worlds["sales"].reserved_calls()
    await centre.services.campaigns.mark_sent(call, "run", "")
    await centre.worlds["sales"].event("call_answered", call, agent_id="2")
    assert await centre.free("sales") == await centre.free("support") == set()
    freed = await centre.services.queues.apply_agent_event(
        "sales", "1", state="available", entry=await centre.worlds["sales"].write_entry()
    )
    assert (freed.status, freed.queues) == ("freed", ["sales", "support"])
    assert await centre.free("support") == {"1"}


async def test_an_agent_who_leaves_a_queue_stays_in_the_other(centre: Centre) -> None:
    await centre.open(c1="sales", c2="support")
    for queue in ("sales", "support"):
        await centre.list_agents(queue, a1="available")
    await centre.list_agents("sales")
    assert (await centre.free("sales"), await centre.free("support")) == (set(), {"1"})
    assert await centre.services.queues.sharing("support") == {}
    await centre.list_agents("support")
    assert not await centre.services.client.exists(
        centre.services.keys.agents, centre.services.keys.shared_agents
    )


# ---- a list that lags ----


@pytest.fixture
async def sales(services: Services) -> LedgerWorld:
    world = LedgerWorld(services)
    await world.open_campaign(contacts=9)
    await world.set_agents(3)
    return world


async def since(world: LedgerWorld, agent: str) -> float:
    """Since when the agent is shown as it is."""
    raw = await world.client.hget(world.keys.agents, agent)
    return msgspec.json.decode(raw or "", type=AgentRecord).since_ms or 0


async def free(world: LedgerWorld) -> set[str]:
    return set(map(str, await world.services.client.zrange(world.services.keys.queue_free("sales"), 0, -1)))


async def pass_time(world: LedgerWorld, seconds: int) -> None:
    await move_clock(world.services.client, world.services.keys, seconds)


@pytest.mark.parametrize("named", [True, False])
async def test_a_list_frees_no_agent_whose_call_is_up(sales: LedgerWorld, *, named: bool) -> None:
    call = await sales.place_one()
    await sales.event("call_answered", call, **({"agent_id": "3"} if named else {}))
    left = await free(sales)
    assert len(left) == 2
    await sales.set_agents(3)
    await pass_time(sales, DISTRUST_S - 2)
    await sales.set_agents(3)
    assert await free(sales) == left, "it lags"
    await pass_time(sales, 3)
    await sales.set_agents(3)
    assert await free(sales) == {"1", "2", "3"}, "it has said so for so long that the events must be wrong"


async def test_after_the_call_the_list_frees_its_agent_at_once(sales: LedgerWorld) -> None:
    call = await sales.place_one()
    await sales.event("call_answered", call, agent_id="3")
    await sales.set_agents(3)
    await sales.event("call_completed", call)
    await sales.set_agents(3)
    assert await free(sales) == {"1", "2", "3"}
    assert not await sales.services.client.exists(sales.services.keys.agent_calls)


async def test_a_list_frees_no_agent_whom_an_event_has_put_in_wrapup(sales: LedgerWorld) -> None:
    call = await sales.place_one()
    await sales.event("call_answered", call, agent_id="3")
    await sales.event("call_completed", call)
    await sales.agent_event("3", "wrapup")
    await sales.set_agents(3)
    assert await free(sales) == {"1", "2"}
    await sales.agent_event("3", "available")
    assert await free(sales) == {"1", "2", "3"}


async def test_a_list_holds_back_no_agent_whom_an_event_has_freed(sales: LedgerWorld) -> None:
    await sales.agent_event("3", "available")
    await sales.set_agents(2, busy=1)
    assert await free(sales) == {"1", "2", "3"}
    await sales.set_agents(3)
    await pass_time(sales, DISTRUST_S - 1)
    await sales.set_agents(2, busy=1)
    await pass_time(sales, 2)
    await sales.set_agents(2, busy=1)
    assert await free(sales) == {"1", "2", "3"}, "it has not said so all the time"
    await pass_time(sales, DISTRUST_S - 1)
    await sales.set_agents(2, busy=1)
    assert await free(sales) == {"1", "2"}


@pytest.mark.parametrize("by", ["list", "event"])
async def test_a_guess_moves_to_the_agent_who_turns_out_to_be_busy(sales: LedgerWorld, by: str) -> None:
    await sales.event("call_answered", await sales.place_one())
    (guessed,) = {"1", "2", "3"} - await free(sales)
    right = "1" if guessed != "1" else "2"
    free_since = await since(sales, right)
    assert await since(sales, guessed) > free_since
    if by == "event":
        await sales.agent_event(right, "busy")
    else:
        asked = await sales.services.queues.begin_agent_poll("sales")
        rows = [Agent(name, "busy" if name == right else "available") for name in ("1", "2", "3")]
        await sales.services.queues.replace_agents("sales", rows, asked.ledger_ms)
    assert await free(sales) == {"1", "2", "3"} - {right}
    assert await since(sales, guessed) == free_since, "it was free all the time"
    await sales.set_agents(3)
    assert await free(sales) == {"1", "2", "3"} - {right}, "one agent has the call that is up"


async def test_an_agent_who_was_just_heard_to_be_busy_has_the_call_that_names_nobody(
    sales: LedgerWorld,
) -> None:
    call = await sales.place_one()
    await sales.agent_event("2", "busy")
    await sales.event("call_answered", call)
    assert await free(sales) == {"1", "3"}


# ---- agents whom no list names ----


async def test_an_event_of_an_agent_whom_no_list_names_frees_nobody(sales: LedgerWorld) -> None:
    assert await sales.agent_event("ghost", "available") == "unknown"
    assert await free(sales) == {"1", "2", "3"}
    await sales.agent_comes_free("ghost")
    assert await free(sales) == {"1", "2", "3", "ghost"}


async def test_a_call_taken_by_an_agent_whom_no_list_names_takes_one_of_those_it_names(
    sales: LedgerWorld,
) -> None:
    """The telephone system spells the agent's name in its own way: an agent is busy all the same."""
    await sales.event("call_answered", await sales.place_one(), agent_id="PJSIP-1001")
    assert len(await free(sales)) == 2


# ---- what needs no list ----


async def test_without_a_new_list_only_agents_count_whom_an_event_has_freed(sales: LedgerWorld) -> None:
    await sales.agent_event("3", "busy")
    await sales.agent_event("3", "available")
    request = msgspec.structs.replace(sales.claim_request("t", 9, 1), counts_listed=False)
    claimed = await sales.services.campaigns.reserve_contacts("1", "sales", request)
    assert (claimed.dialed, claimed.free, claimed.usable) == (1, 3, 1)
    start = await sales.services.ticks.start("1", "1-0", "sales")
    assert start.freed == 1


async def test_a_list_with_a_missing_page_frees_nobody_and_forgets_nobody(centre: Centre) -> None:
    await centre.open(c1="sales")
    world = centre.worlds["sales"]
    await centre.list_agents("sales", a1="available", a2="available", a3="busy")
    await world.agent_event("1", "available")
    asked = await centre.services.queues.begin_agent_poll("sales")
    page = [Agent("3", "available"), Agent("4", "available")]
    await centre.services.queues.replace_agents("sales", page, asked.ledger_ms, is_whole=False)
    assert await centre.free("sales") == {"1", "3", "4"}, "2 is free only by lists; an event freed 1"
    assert await world.agent_event("2", "available") in ("freed", "applied"), "2 still stands in the queue"


# ---- long lists come in parts ----


async def test_a_long_list_is_taken_over_whole_and_those_it_no_longer_names_leave(centre: Centre) -> None:
    await centre.open(c1="sales")
    states = {f"a{number}": "available" if number % 2 else "busy" for number in range(1, 1201)}
    await centre.list_agents("sales", **states)
    assert await centre.free("sales") == {str(number) for number in range(1, 1201, 2)}
    assert await centre.services.client.zcard(centre.services.keys.queue_busy("sales")) == 600
    await centre.list_agents("sales", a7="available")
    assert await centre.free("sales") == {"7"}
    assert await centre.services.client.hkeys(centre.services.keys.agents) == ["7"]


async def test_a_list_that_says_nothing_new_writes_about_no_agent(centre: Centre) -> None:
    await centre.open(c1="sales")
    states = {f"a{number}": "available" if number % 2 else "busy" for number in range(1, 301)}
    await centre.list_agents("sales", **states)

    async def writes() -> int:
        await centre.services.client.config_resetstat()
        await centre.list_agents("sales", **states)
        stats: Any = await centre.services.client.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("zadd", "zrem", "hset"))

    same = await writes()
    states["a1"] = "busy"
    assert same < 5 < await writes() < 20


async def test_parts_of_an_older_list_change_nothing_while_a_newer_one_comes(
    centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    await centre.open(c1="sales")
    queues = centre.services.queues
    older = (await queues.begin_agent_poll("sales")).ledger_ms
    monkeypatch.setattr(queues_module, "LIST_PART", 1)
    run, calls = AgentQueues.run, list[str]()

    async def overtaken(self: AgentQueues, script: Script, *args: Any) -> list[Any]:
        """After the first part of the newer list the older one comes."""
        answer = await run(self, script, *args)
        calls.append(answer[0])
        if len(calls) == 1:
            await queues.replace_agents("sales", [Agent(1, "busy"), Agent(2, "available")], older)
        return answer

    monkeypatch.setattr(AgentQueues, "run", overtaken)
    await queues.replace_agents("sales", [Agent(1, "available"), Agent(2, "busy")], older + 5)
    assert calls == ["ok", "stale", "ok"]
    assert await centre.free("sales") == {"1"}


async def test_a_list_that_may_not_take_out_who_was_heard_of_since_comes_to_an_end(
    world: LedgerWorld,
) -> None:
    queues, agents = world.services.queues, [Agent(str(number), "available") for number in range(300)]
    for name in ("sales", "support"):
        await world.client.zadd(world.keys.queue_campaigns(name), {"1": 1})
        await queues.replace_agents(name, agents, (await queues.begin_agent_poll(name)).ledger_ms)
    asked_ms = (await queues.begin_agent_poll("sales")).ledger_ms
    await move_clock(world.client, world.keys, 1)
    await queues.replace_agents("support", agents, (await queues.begin_agent_poll("support")).ledger_ms)
    with anyio.fail_after(5):
        await queues.replace_agents("sales", [Agent("x", "available")], asked_ms)
    assert await world.client.zcard(world.keys.queue_free("sales")) == 301
