"""The telephone system lists the agents of a queue (`queue_agents`): its word outranks the backend's list."""

from __future__ import annotations

import json

import pytest

from streamdialer.broker.entries import Entry
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.event_entry import read_event
from streamdialer.consumers.events import EventsStage
from streamdialer.consumers.services import Services
from streamdialer.ledger.queues import LIST_PART, MAX_QUEUE_SOURCES
from streamdialer.model import AgentState
from tests.support.ledger_fixture import LedgerWorld
from tests.support.ledger_reader import move_clock

pytestmark = pytest.mark.anyio


@pytest.fixture
async def sales(services: Services) -> LedgerWorld:
    world = LedgerWorld(services)
    await world.open_campaign(contacts=9)
    return world


async def agents(world: LedgerWorld) -> tuple[set[str], set[str]]:
    """The free ones, and the others."""
    keys = world.keys.queue_free(world.queue), world.keys.queue_busy(world.queue)
    free, busy = [set(map(str, await world.client.zrange(key, 0, -1))) for key in keys]
    return free, busy


async def next_ms(world: LedgerWorld) -> None:
    """Entries of one millisecond have no order."""
    began = await world.client.time()
    while (await world.client.time())[1] // 1000 == began[1] // 1000:
        pass


async def pass_time(world: LedgerWorld, seconds: int) -> None:
    await move_clock(world.client, world.keys, seconds)


async def test_its_agents_are_the_queues_agents_while_its_list_is_fresh(sales: LedgerWorld) -> None:
    await sales.set_agents(3)
    assert await sales.list_queue(a1="busy", a2="wrapup", a8="available", a9="offline") == "freed"
    assert await agents(sales) == ({"8"}, {"1", "2", "9"})
    await sales.set_agents(3)
    await pass_time(sales, 50)
    await sales.set_agents(3)
    assert await agents(sales) == ({"8"}, {"1", "2", "9"}), "the backend always says available"
    await pass_time(sales, 11)
    await sales.set_agents(3)
    await pass_time(sales, 11)
    await sales.set_agents(3)
    assert await agents(sales) == ({"1", "2", "3"}, set()), "it has said nothing for a minute"


async def test_the_backend_is_not_asked_while_its_list_would_change_nothing(sales: LedgerWorld) -> None:
    await sales.list_queue(a1="available")
    seen = await sales.services.queues.begin_agent_poll("sales")
    assert seen.polled == seen.ledger_ms
    start = await sales.services.ticks.start("1", "1-0", "sales")
    assert start.agents_polled_ms == start.ledger_ms
    await pass_time(sales, 61)
    seen = await sales.services.queues.begin_agent_poll("sales")
    assert seen.polled < seen.ledger_ms


async def test_it_frees_an_agent_whose_call_the_ledger_thinks_to_be_up(sales: LedgerWorld) -> None:
    await sales.list_queue(a1="available", a2="available")
    await sales.event("call_answered", await sales.place_one())
    free, busy = await agents(sales)
    assert (len(free), len(busy)) == (1, 1), "a guess: no event has named the agent"
    assert await sales.list_queue(a1="available", a2="available") == "freed"
    assert await agents(sales) == ({"1", "2"}, set())
    assert not await sales.client.exists(sales.keys.agent_calls)


async def test_a_guess_moves_to_the_agent_it_shows_as_busy(sales: LedgerWorld) -> None:
    await sales.list_queue(a1="available", a2="available")
    await sales.event("call_answered", await sales.place_one())
    (guessed,) = (await agents(sales))[1]
    other: AgentState = "busy"
    states: dict[str, AgentState] = {"a1": "available", "a2": "available"}
    right = "2" if guessed == "1" else "1"
    await sales.list_queue(**{**states, f"a{right}": other})
    assert await agents(sales) == ({guessed}, {right})
    assert list(await sales.client.hvals(sales.keys.agent_calls)) == [right]


async def test_of_a_list_and_an_event_the_one_written_last_counts(sales: LedgerWorld) -> None:
    await sales.list_queue(a1="available")
    await next_ms(sales)
    before = await sales.write_entry()
    await next_ms(sales)
    assert await sales.agent_event("1", "busy") == "applied"
    assert await sales.list_queue(a1="available", entry=before) == "applied"
    assert await agents(sales) == (set(), {"1"}), "the list is older"
    await next_ms(sales)
    older = await sales.write_entry()
    await next_ms(sales)
    assert await sales.list_queue(a1="available") == "freed"
    assert await sales.agent_event("1", "busy", older) == "unchanged"
    assert await sales.list_queue(a1="busy", entry=older) == "older"
    assert await agents(sales) == ({"1"}, set())


async def test_an_agent_whom_only_it_names_is_known_to_events(sales: LedgerWorld) -> None:
    await sales.set_agents(1)
    assert await sales.agent_event("PJSIP%2F1001", "available") == "unknown"
    await sales.services.queues.replace_queue_agents(
        "sales", "pbx", await sales.write_entry(), {"PJSIP%2F1001": "busy"}
    )
    assert await sales.agent_event("PJSIP%2F1001", "available") == "freed"
    assert await agents(sales) == ({"PJSIP%2F1001"}, set())


async def test_agents_of_two_telephone_systems_stand_in_one_queue(sales: LedgerWorld) -> None:
    await sales.list_queue("a", a1="available", a2="available")
    await sales.list_queue("b", a2="offline", a3="available")
    assert await agents(sales) == ({"1", "2", "3"}, set()), "offline there says nothing of the phone here"
    await sales.list_queue("a", a1="available")
    assert await agents(sales) == ({"1", "2", "3"}, set()), "b still lists the agent"
    await sales.list_queue("b", a2="offline", a3="available")
    assert await agents(sales) == ({"1", "3"}, {"2"})
    await pass_time(sales, 61)
    await sales.list_queue("b", a3="available")
    assert await agents(sales) == ({"3"}, set()), "the other one is silent for a minute"


async def test_sources_of_a_queue_are_bounded(sales: LedgerWorld) -> None:
    for number in range(MAX_QUEUE_SOURCES):
        assert await sales.list_queue(f"s{number}", a1="busy") == "applied"
    assert await sales.list_queue("one more", a1="busy") == "too_many"
    assert await sales.list_queue("s1", a1="busy") == "applied"


async def test_a_queue_that_no_campaign_uses_is_not_kept(services: Services) -> None:
    world = LedgerWorld(services)
    assert await world.list_queue(a1="available") == "no_campaign"
    assert [key async for key in world.client.scan_iter("sd:q:*")] == []
    assert not await world.client.exists(world.keys.agents)


async def test_an_agent_of_two_queues_counts_once(services: Services) -> None:
    sales, support = LedgerWorld(services), LedgerWorld(services, "support")
    await sales.open_campaign("1")
    await support.open_campaign("2")
    await sales.list_queue(a1="available", a2="available")
    await support.list_queue(a2="busy", a3="available")
    assert await agents(sales) == ({"1"}, {"2"})
    assert await agents(support) == ({"3"}, {"2"})
    await support.list_queue(a3="available")
    assert await agents(sales) == ({"1"}, {"2"}), "it is in the queue sales still"


# ---- as events ----


async def handled(world: LedgerWorld, **data: object) -> None:
    stage = EventsStage(world.services, WakeupScheduler(world.services))
    entry = await world.write_entry()
    text = json.dumps({"queue": "sales", "source": "pbx", **data})
    await stage.handle(Entry(entry, {"type": "queue_agents", "data": text}))


def rows(names: list[str], state: str = "available") -> list[dict[str, str]]:
    return [{"agent_id": name, "state": state} for name in names]


async def test_a_list_in_parts_counts_when_all_its_parts_have_come(sales: LedgerWorld) -> None:
    await handled(sales, agents=rows(["1"]))
    await handled(sales, agents=rows(["3"]), list_id="l", part=2, parts=2)
    await handled(sales, agents=rows(["3"]), list_id="l", part=2, parts=2)
    assert await agents(sales) == ({"1"}, set())
    await handled(sales, agents=rows(["9"]), list_id="another", part=1, parts=2)
    await handled(sales, agents=rows(["2"], "busy"), list_id="l", part=1, parts=2)
    assert await agents(sales) == ({"3"}, {"2"})


async def test_what_cannot_be_read_of_a_list_is_left_out(sales: LedgerWorld) -> None:
    odd = [{"agent_id": 7, "state": "AVAILABLE"}, {"agent_id": 8, "state": "what"}, {"state": "busy"}, 9]
    await handled(sales, agents=odd)
    assert await agents(sales) == ({"7"}, {"8"})
    flat = {"type": "queue_agents", "queue": "sales", "source": "pbx", "agents": json.dumps(odd)}
    assert read_event(Entry("1-0", flat)).agents == {"7": "available", "8": "offline"}  # type: ignore[union-attr]


# ---- how long it takes ----


async def test_a_long_list_is_taken_over_in_parts(sales: LedgerWorld) -> None:
    async def scripts_run() -> int:
        return int((await sales.client.info("commandstats"))["cmdstat_evalsha"]["calls"])

    names: dict[str, AgentState] = {str(each): "available" for each in range(4000)}
    await sales.list_queue(a1="busy")
    before = await scripts_run()
    await sales.services.queues.replace_queue_agents("sales", "pbx", await sales.write_entry(), names)
    assert await agents(sales) == (set(names), set())
    assert await scripts_run() - before == 1 + 4000 / LIST_PART
    await next_ms(sales)
    before = await scripts_run()
    await sales.list_queue(a1="available")
    assert await agents(sales) == ({"1"}, set())
    assert await scripts_run() - before == 1 + 4000 / LIST_PART, "they are taken out in parts, too"
