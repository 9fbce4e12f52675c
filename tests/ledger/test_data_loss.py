"""What the ledger does when Redis may have forgotten calls: it dials nothing, and finds them again."""

from __future__ import annotations

import anyio
import msgspec
import pytest
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.consumers.services import Services
from streamdialer.ledger.recovery import HOLD_PART, InFlightRow, mark_server_trusted
from streamdialer.model import Attempt
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.callbacks import ask
from tests.support.ledger_fixture import LedgerWorld

SERVER = Keys().server


async def another_server_answers(world: LedgerWorld) -> None:
    """As after a restart or a failover: the data is there, but the server has another run id."""
    await world.client.hset(SERVER, "run", "another")


async def quiet_is_over(world: LedgerWorld) -> None:
    """The wait has passed, the campaign is not rebuilt yet."""
    await world.claim(level=0)
    await world.client.hset(SERVER, "hold_until", "0")


async def lose_data(world: LedgerWorld) -> None:
    await another_server_answers(world)
    await quiet_is_over(world)


async def rebuild(world: LedgerWorld, *rows: InFlightRow) -> int:
    memory = world.services.memory
    mark = (await memory.state()).rebuild_epoch
    await memory.drop_reloadable("1")
    held = await memory.hold_in_flight("1", rows, world.retry)
    assert held is not None
    assert await memory.mark_rebuilt("1", mark)
    return held


def shown(
    contact: str, attempts: int, *, is_answered: bool = False, last_ms: int | None = None
) -> InFlightRow:
    return InFlightRow(LedgerWorld.row(contact, attempts=attempts), is_answered, last_ms)


async def test_on_another_server_nothing_is_claimed_until_calls_can_have_ended(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=3, agents=3)
    await another_server_answers(world)
    refused = await world.claim()
    assert (refused.dialed, refused.reason) == (0, "data_loss")
    assert refused.wait_ms is not None
    assert 44_000 < refused.wait_ms <= 45_000, "ring time-out and margin"
    await world.client.hset(SERVER, "hold_until", "0")
    assert (await world.claim()).reason == "not_rebuilt"
    await rebuild(world)
    assert await world.count("1", "ready") == 0, "the backend says who is to be called"
    await world.services.campaigns.load("1", [world.row("1")], 3)
    assert (await world.claim()).dialed == 1


async def test_an_emptied_server_is_a_loss_of_memory(world: LedgerWorld) -> None:
    await world.client.flushall()
    await world.open_campaign(contacts=3, agents=3)
    assert (await world.claim()).reason == "data_loss"


async def test_a_loss_is_noticed_when_nothing_is_dialed(world: LedgerWorld) -> None:
    await another_server_answers(world)
    before = (await world.services.memory.state()).loss_count
    await world.services.campaigns.due_campaigns(10)
    state = await world.services.memory.state()
    assert (state.loss_count, bool(state.rebuild_epoch)) == (before + 1, True)
    assert state.lost is not None


async def test_a_restarted_server_is_another_one() -> None:
    with EmbeddedServer("--appendfsync", "always", appendonly=True) as server:
        client = Redis.from_url(server.url, decode_responses=True)
        await mark_server_trusted(client, Keys())
        known = await client.hget(SERVER, "run")
        await client.aclose()
        server.kill()
        server.restart()
        client = Redis.from_url(server.url, decode_responses=True)
        assert await client.hget(SERVER, "run") == known, "the log was kept"
        await mark_server_trusted(client, Keys())
        assert await client.hget(SERVER, "run") != known
        await client.aclose()


async def test_what_was_reserved_before_the_loss_is_not_sent(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2, agents=2)
    await world.claim()
    first, second = await world.reserved_calls()
    await another_server_answers(world)
    assert await world.mark_sent(first) == "data_loss"
    await quiet_is_over(world)
    assert await world.mark_sent(second) == "data_loss", "its mark may be lost"
    assert await world.count("1", "ready") == 2


async def test_after_an_event_of_a_forgotten_call_its_contact_is_not_ready(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2)
    await another_server_answers(world)
    await world.claim()
    ringing = Attempt("1:2:1:m", "1", "2", "")
    assert await world.event("call_answered", ringing, call_id="c") == "applied"
    await world.check_invariants()
    assert (await world.state_of("2"), (await world.record("2"))["a"]) == ("connected", 1)
    assert await world.backend_status("2") == "answered"
    assert await world.event("call_completed", ringing, call_id="c") == "ended"
    assert await world.state_of("2") == "final"


async def test_a_forgotten_call_that_fails_is_followed_by_the_campaigns_plan(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=3, agents=1)
    await world.place_one()
    await another_server_answers(world)
    await world.claim()
    for contact, cause, counted in (("2", "19", 1), ("3", "34", 0)):
        failed = Attempt(f"1:{contact}:1:m", "1", contact, "")
        assert await world.event("call_failed", failed, call_id=f"c{contact}", cause=cause) == "ended"
        assert await world.state_of(contact) == "deferred"
        record = await world.record(contact)
        assert (record["a"], record["h"][0]["n"]) == (counted, 1)
    await world.check_invariants()


async def test_a_call_of_a_campaign_redis_forgot_is_remembered_by_its_event(world: LedgerWorld) -> None:
    await world.client.flushall()
    await world.services.campaigns.due_campaigns(10)
    ringing = Attempt("7:70:1:m", "7", "70", "")
    assert await world.event("call_ringing", ringing) == "ask_backend"
    assert await world.client.keys("sd:c:*") == [], "nobody's state is invented"
    assert await world.event("call_ringing", ringing, lost=world.shown("70")) == "applied"
    assert await world.state_of("70", "7") == "dialing"
    await world.open_campaign("7", contacts=0)
    loaded = await world.services.campaigns.load("7", [world.row("70")], 3)
    assert (loaded.added, loaded.known) == (0, 1), "the backend may still show it as pending"


async def test_an_event_of_a_reserved_call_whose_mark_was_lost_marks_it_as_sent(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    await world.claim()
    [attempt] = await world.reserved_calls()
    await another_server_answers(world)
    await world.claim()
    assert await world.event("call_ringing", attempt) == "applied"
    assert await world.state_of("1") == "dialing"
    assert await world.mark_sent(attempt) == "sent"
    await world.check_invariants()


@pytest.mark.parametrize("is_noticed", [True, False])
@pytest.mark.parametrize(
    ("verdict", "place", "state", "counted"),
    [
        ("placed", "dialing", "sent", 1),
        ("unknown", "dialing", "sent", 1),
        ("never", "final", "ended", 1),
        ("not_placed", "ready", "released", 0),
    ],
)
async def test_a_reply_to_a_reserved_call_whose_mark_was_lost_marks_it_as_sent(
    world: LedgerWorld, verdict: str, place: str, state: str, counted: int, is_noticed: bool
) -> None:
    await world.open_campaign(contacts=1, agents=1)
    await world.claim()
    [attempt] = await world.reserved_calls()
    await another_server_answers(world)
    if is_noticed:
        await world.claim()
    assert await world.settle(attempt, verdict) == "ok"
    record = await world.record("1")
    assert (record["p"], record["h"][-1]["s"], record["a"]) == (place, state, counted)
    assert (await world.public())["total_calls"] == str(counted)
    assert await world.backend_status("1") == (
        {"dialing": "dialing", "final": "invalid"}.get(place, "pending")
    )
    assert await world.mark_sent(attempt) == "sent"
    await world.check_invariants()
    await quiet_is_over(world)
    await rebuild(world)
    await world.check_invariants()


async def test_without_a_loss_an_event_of_nothing_stays_an_event_of_nothing(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1)
    assert await world.event("call_ringing", Attempt("1:1:1:m", "1", "1", "")) == "no_attempt"
    assert await world.state_of("1") == "ready"


async def place_a_call_in_doubt(world: LedgerWorld) -> Attempt:
    """A call that was up when data was lost, its ringing time over without an event; another call's events came."""
    await world.open_campaign(contacts=2, agents=2)
    silent, other = await world.place_one(), await world.place_one()
    await lose_data(world)
    await world.event("call_failed", other, disposition="busy")
    await world.age(46)
    return silent


async def test_a_call_that_rang_when_memory_was_lost_is_not_ended_by_silence(world: LedgerWorld) -> None:
    silent = await place_a_call_in_doubt(world)
    swept = await world.sweep()
    assert (swept.no_event, swept.orphaned) == (0, 1)
    assert await world.state_of(silent.contact) == "orphaned"
    assert (await world.public())["active_calls"] == "0", "whatever it does, it does not ring any more"
    await world.check_invariants()
    assert await world.event("call_completed", silent) == "ended"
    assert await world.state_of(silent.contact) == "final"


async def test_a_call_in_doubt_of_which_nothing_is_ever_heard_ends_as_failed(world: LedgerWorld) -> None:
    silent = await place_a_call_in_doubt(world)
    await world.sweep()
    await world.age(7201)
    assert (await world.sweep()).no_event == 1
    assert await world.state_of(silent.contact) == "deferred"
    assert await world.backend_status(silent.contact) == "failed"


async def test_while_events_may_still_come_no_deadline_ends_anything(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2, agents=2)
    silent, other = await world.place_one(), await world.place_one()
    await world.event("call_failed", other, disposition="busy")
    await another_server_answers(world)
    await world.age(46)
    swept = await world.sweep()
    assert (swept.no_event, swept.orphaned, swept.too_long) == (0, 0, 0)
    assert await world.state_of(silent.contact) == "dialing"


async def test_contacts_the_backend_shows_as_called_are_held_in_doubt(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=3)
    await lose_data(world)
    assert await rebuild(world, shown("1", 1), shown("9", 2, is_answered=True)) == 2
    await world.check_invariants()
    assert (await world.state_of("1"), await world.state_of("9")) == ("orphaned", "orphaned")
    assert (await world.record("9"))["a"] == 2
    loaded = await world.services.campaigns.load("1", [world.row("1"), world.row("9")], 3)
    assert loaded.added == 0
    await world.event("call_failed", Attempt("1:1:1:m", "1", "1", ""), disposition="busy")
    assert await world.state_of("1") == "deferred"
    await world.age(7201)
    await world.sweep()
    assert await world.state_of("9") == "final", (
        "it had been answered: the contact is not called again on a guess"
    )
    assert await world.backend_status("9") == "completed"


async def test_a_long_page_of_contacts_in_a_call_is_held_in_parts(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0)
    await lose_data(world)
    rows = [shown(str(contact), 1) for contact in range(2 * HOLD_PART + 1)]
    await world.services.memory.hold_in_flight(
        "1", [], world.retry
    )  # the server knows the script from now on
    await world.client.config_resetstat()
    assert await world.services.memory.hold_in_flight("1", rows, world.retry) == len(rows)
    assert (await world.client.info("commandstats"))["cmdstat_evalsha"]["calls"] == 3
    assert await world.count("1", "orphaned") == len(rows)


async def test_calls_in_doubt_that_wait_for_events_do_not_stop_the_campaign(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0, agents=1)
    await lose_data(world)
    await rebuild(world, shown("9", 1, last_ms=1_600_000_000_000))
    swept = await world.sweep()
    assert (swept.no_event, swept.stalled) == (0, 0)
    assert await world.state_of("9") == "orphaned"
    await world.services.campaigns.load("1", [world.row("1")], 3)
    assert (await world.claim()).dialed == 1
    await world.check_invariants()


async def test_a_mark_older_than_the_longest_conversation_is_no_doubt(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    other = await world.place_one()
    await lose_data(world)
    await world.event("call_failed", other, disposition="busy")
    await rebuild(world, shown("9", 1, last_ms=1_600_000_000_000))
    assert (await world.sweep()).no_event == 1
    assert (await world.state_of("9"), (await world.record("9"))["a"]) == ("deferred", 1)


async def test_what_the_ledger_knows_better_than_the_backend_stays(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=3, agents=3)
    talking, over = await world.place_one(), await world.place_one()
    await world.event("call_answered", talking)
    await world.event("call_failed", over, disposition="busy")
    await lose_data(world)
    assert await rebuild(world, shown(talking.contact, 1), shown(over.contact, 1)) == 0
    assert (await world.state_of(talking.contact), await world.state_of(over.contact)) == (
        "connected",
        "deferred",
    )


async def test_a_campaign_is_rebuilt_again_when_memory_is_lost_again_meanwhile(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1)
    await lose_data(world)
    mark = (await world.services.memory.state()).rebuild_epoch
    await world.client.hset(SERVER, "rebuild_epoch", "a later loss")
    assert not await world.services.memory.mark_rebuilt("1", mark)
    assert (await world.claim()).reason == "not_rebuilt"


async def test_a_declared_idempotent_api_may_get_the_request_again_from_another_replica(
    services: Services, world: LedgerWorld
) -> None:
    limits = msgspec.structs.replace(services.campaigns._limits, is_idempotent=True)
    services.campaigns._limits = limits
    await world.open_campaign(contacts=2, agents=2)
    attempt = await world.place_one()
    assert await world.mark_sent(attempt, "other run") == "again"
    assert await world.mark_sent(attempt, "other run") == "ok", "the same try, asked twice"
    await world.event("call_ringing", attempt)
    assert await world.mark_sent(attempt, "third run") == "sent", "its fate is known"
    answered = await world.place_one()
    await world.settle(answered, "unknown")
    assert await world.mark_sent(answered, "other run") == "sent", "there was a reply"


async def test_the_ledgers_clock_does_not_go_back_with_the_servers(world: LedgerWorld) -> None:
    services = world.services
    before = (await services.queues.begin_agent_poll("sales")).ledger_ms
    hour_ms = 3_600_000
    await services.client.hset(SERVER, "last", before + hour_ms)  # the server's clock was an hour ahead
    first = (await services.queues.begin_agent_poll("sales")).ledger_ms
    assert first >= before + hour_ms
    await world.open_campaign(contacts=1, agents=1)
    attempt = await world.place_one()
    assert await world.event("call_answered", attempt) == "applied", "ids of entries are behind that clock"
    assert (await services.queues.begin_agent_poll("sales")).ledger_ms >= first
    told = await world.backend_doc("1")
    assert abs(told["at"] - before) < 60_000, "the backend gets the server's own time"


async def test_late_news_of_a_call_sent_after_the_loss_is_not_another_call(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1)
    await lose_data(world)
    await rebuild(world)
    await world.services.campaigns.load("1", [world.row("1")], 3)
    await world.set_agents(1)
    await world.client.hset(SERVER, "lost", "1000")  # long ago
    attempt = await world.place_one()
    await world.event("call_failed", attempt, disposition="no_answer")
    await world.event("call_ringing", attempt)
    assert (await world.state_of("1"), (await world.record("1"))["a"]) == ("deferred", 1)
    assert await world.event("call_failed", attempt, call_id="a", disposition="no_answer") == "applied"
    assert await world.event("call_failed", attempt, call_id="b", disposition="busy") == "foreign_call"
    assert (await world.public())["total_calls"] == "1"


@pytest.mark.parametrize(("attempts", "is_in_call", "number"), [(2, True, 2), (0, True, 1), (2, False, 3)])
async def test_a_contact_only_the_backend_knows_counts_the_call_as_the_backend_does(
    world: LedgerWorld, attempts: int, is_in_call: bool, number: int
) -> None:
    await world.client.flushall()
    shown_call = world.shown("70", attempts, is_in_call=is_in_call)
    assert (
        await world.event("call_answered", Attempt("7:70:1:m", "7", "70", ""), lost=shown_call) == "applied"
    ), "the loss had not been noticed yet"
    record, told = await world.record("70", "7"), await world.backend_doc("70", "7") or {}
    assert (record["a"], record["h"][0]["n"]) == (number, number)
    assert (told["s"], told.get("a")) == ("answered", number)
    assert await world.event("call_completed", Attempt("7:70:1:m", "7", "70", "")) == "ended"
    assert (await world.backend_doc("70", "7") or {})["s"] == "completed"


async def test_a_lost_call_that_fails_is_tried_again_by_the_campaigns_plan(world: LedgerWorld) -> None:
    await world.client.flushall()
    failed = Attempt("7:70:1:m", "7", "70", "")
    assert await world.event("call_failed", failed, disposition="busy", lost=world.shown("70")) == "ended"
    assert await world.state_of("70", "7") == "deferred"


async def test_old_news_of_a_contact_that_was_forgotten_long_ago_changes_nothing(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0)
    await lose_data(world)
    await rebuild(world)
    over = Attempt("1:51:1:m", "1", "51", "")
    assert (
        await world.event("call_failed", over, disposition="busy", lost=world.shown("51"))
        == "unknown_contact"
    )


async def test_a_final_contact_is_not_called_by_news_of_a_lost_call(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2)
    await world.services.suppression.suppress_contact("1", "1", "event")
    await world.set_agents(1)
    over = await world.place_one()
    await world.event("call_completed", over, call_id="c")
    await another_server_answers(world)
    await world.claim()
    for contact in ("1", over.contact):
        ringing = Attempt(f"1:{contact}:1:m", "1", contact, "")
        assert await world.event("call_ringing", ringing, call_id="x") in ("no_attempt", "foreign_call")
        assert await world.state_of(contact) == "final"
    assert (await world.backend_doc("1") or {})["s"] == "do_not_call"


async def test_no_more_lost_calls_are_remembered_than_a_few_thousand(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0)
    await another_server_answers(world)
    await world.claim()
    await world.client.hset(SERVER, "remembered", "4999")
    answers = [
        await world.event(
            "call_ringing", Attempt(f"1:{contact}:1:m", "1", contact, ""), lost=world.shown(contact)
        )
        for contact in ("7", "8")
    ]
    assert answers == ["applied", "too_many_lost"]
    assert await world.event("call_answered", Attempt("1:7:1:m", "1", "7", "")) == "applied"
    await another_server_answers(world)
    await world.claim()
    assert (
        await world.event("call_ringing", Attempt("1:8:1:m", "1", "8", ""), lost=world.shown("8"))
        == "applied"
    )


async def test_the_backend_gets_no_update_older_than_what_it_shows(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    attempt = await world.place_one()
    await world.event("call_failed", attempt, disposition="busy")
    await world.age(301)
    await world.sweep()  # pending again, which the backend is to be told
    await another_server_answers(world)
    await world.claim()
    assert await world.services.outbox.lease("1", "1", "me") == "none"
    await world.client.hset(SERVER, "hold_until", "0")
    assert await rebuild(world, shown("1", 2)) == 1, "the backend shows a call the ledger has forgotten"
    assert await world.state_of("1") == "orphaned"


async def test_calls_the_backend_knows_to_be_over_are_forgotten(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2, agents=2)
    over, unsaid = await world.place_one(), await world.place_one()
    update = await world.lease_update(over.contact, "me")
    await world.services.outbox.acknowledge("1", over.contact, "me", update.version)
    await lose_data(world)
    await rebuild(world)
    assert not await world.client.hexists(world.keys.records("1"), over.contact)
    assert await world.state_of(unsaid.contact) == "dialing", "the backend has not been told of it"
    await world.check_invariants()


async def test_every_loss_has_a_mark_of_its_own(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1)
    await another_server_answers(world)
    await world.claim()
    first = (await world.services.memory.state()).rebuild_epoch
    await world.client.hdel(SERVER, "run")  # the same server, emptied
    await anyio.sleep(0.002)
    await world.claim()
    assert (await world.services.memory.state()).rebuild_epoch != first
    assert not await world.services.memory.mark_rebuilt("1", first)


async def test_nothing_is_promoted_or_sent_again_before_the_rebuilding(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    attempt = await world.place_one()
    await world.event("call_failed", attempt, disposition="busy")
    await lose_data(world)
    await world.age(301)
    assert (await world.sweep()).promoted == 0
    await world.services.memory.mark_rebuilt("1", (await world.services.memory.state()).rebuild_epoch)
    await world.age(2)
    assert (await world.sweep()).promoted == 1


async def test_late_news_takes_back_the_reservation_of_the_next_call(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2, agents=2)
    silent, other = await world.place_one(), await world.place_one()
    await world.event("call_ringing", other)
    await world.client.zadd("sd:c:1:dialing", {other.contact: 9e15})
    await world.pass_deadlines(silent.contact)
    await world.sweep()
    await world.age(301)
    await world.sweep()
    await world.claim()
    calls = await world.reserved_calls()
    again = next(one for one in calls if one.id.startswith(f"1:{silent.contact}:2:"))
    assert await world.event("call_answered", silent) == "applied"
    assert await world.state_of(silent.contact) == "connected"
    assert await world.mark_sent(again) == "stale"
    await world.check_invariants()


@pytest.mark.parametrize("is_lost", [False, True])
async def test_the_call_of_a_contact_in_two_lists_is_held_by_one_campaign(
    world: LedgerWorld, is_lost: bool
) -> None:
    """The backend shows one row for both lists: the second campaign has no call of its own to remember."""
    await world.open_campaign("1", contacts=1, agents=3)
    await world.place_one()
    if is_lost:
        await world.client.flushall()
        await world.open_campaign("1", contacts=0, agents=3)
    await lose_data(world)
    await world.open_campaign("2", contacts=0)
    memory, row = world.services.memory, shown("1", attempts=1)
    held = [await memory.hold_in_flight(campaign, [row], world.retry) for campaign in ("1", "2")]
    assert held == ([1, 0] if is_lost else [0, 0])
    assert not await world.client.hexists(Keys().records("2"), "1")


async def test_a_callback_that_was_due_before_a_restart_is_called(world: LedgerWorld) -> None:
    """No list of the backend has it, so nothing loads it again."""
    await world.open_campaign(contacts=1, agents=1)
    await ask(world, "1", -1)
    assert await world.backend_status("1") == "pending"
    await lose_data(world)
    await rebuild(world)
    await world.make_stale("1")
    assert (await world.claim()).dialed == 0
    update = await world.lease_update("1", "worker")
    assert (update.status, update.doubt is not None) == ("pending", True)
    await world.services.outbox.acknowledge("1", "1", "worker", update.version, "taken")
    assert (await world.claim()).dialed == 1


async def test_before_the_rebuild_the_update_of_a_due_callback_does_not_get_lost(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    await ask(world, "1", -1)
    await lose_data(world)
    assert (await world.lease_update("1", "worker")).doubt is not None, (
        "only what the backend shows can forbid it"
    )
    await rebuild(world)
    assert await world.backend_status("1") == "pending"
