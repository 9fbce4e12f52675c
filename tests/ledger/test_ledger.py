"""What the ledger guarantees, one script at a time."""

from __future__ import annotations

from typing import Any

import pytest

from streamdialer.broker.scripts import Scripts
from streamdialer.ledger import campaigns
from streamdialer.model import Agent
from tests.support.ledger_fixture import LedgerWorld
from tests.support.ledger_reader import move_clock


async def test_a_claim_takes_the_highest_priority_and_of_it_the_oldest_first(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0)
    rows = [world.row("1", 5), world.row("2", 9), world.row("3", 5), world.row("4", 10)]
    await world.services.campaigns.load("1", rows, 3)
    await world.set_agents(10)
    await world.claim(level=4)
    assert [attempt.contact for attempt in await world.reserved_calls()] == ["4", "2", "1", "3"]
    await world.check_invariants()


async def test_the_same_claim_again_gives_the_same_answer_and_takes_nothing_more(world: LedgerWorld) -> None:
    await world.open_campaign(agents=10)
    first = await world.claim(level=2, token="same")
    again = await world.claim(level=4, token="same")
    assert first == again
    assert first.dialed == 2
    assert len(await world.reserved_calls()) == 2


async def test_a_level_counts_what_is_in_flight(world: LedgerWorld) -> None:
    await world.open_campaign(agents=10)
    assert (await world.claim(level=3)).dialed == 3
    assert (await world.claim(level=3)).dialed == 0
    assert (await world.claim(level=4)).dialed == 1


@pytest.mark.parametrize("status", ["paused", "draft", "completed", "cancelled", "Active", "whatever"])
async def test_only_an_active_campaign_is_claimed(world: LedgerWorld, status: str) -> None:
    await world.open_campaign(agents=5)
    await world.client.hset("campaign:1", "status", status)
    assert (await world.claim()).reason == "not_active"
    assert await world.reserved_calls() == []


async def test_a_claim_after_the_window_is_refused(world: LedgerWorld) -> None:
    await world.open_campaign(agents=5)
    assert (await world.claim(open_until_ms=1)).reason == "window_closed"


async def test_live_calls_never_exceed_the_cap_whatever_the_level(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=10, agents=10)
    claimed = await world.claim(level=10, max_concurrent=3)
    assert (claimed.dialed, claimed.limit) == (3, "concurrency")
    for attempt in await world.reserved_calls():
        await world.mark_sent(attempt)
        await world.event("call_answered", attempt)
    assert (await world.claim(level=10, max_concurrent=3)).dialed == 0
    await world.check_invariants()


async def test_two_campaigns_of_a_queue_share_its_agents(world: LedgerWorld) -> None:
    await world.open_campaign("1")
    await world.open_campaign("2")
    await world.set_agents(4)
    assert (await world.claim("1", 3, others={"2": 1.0})).dialed == 3
    claimed = await world.claim("2", 4, others={"1": 1.0})
    assert (claimed.dialed, claimed.limit) == (1, "agents")


async def test_a_claim_that_does_not_know_a_campaign_of_the_queue_is_refused(world: LedgerWorld) -> None:
    await world.open_campaign("1")
    await world.open_campaign("2")
    await world.set_agents(4)
    assert (await world.claim("1", 3)).reason == "queue_changed"


async def test_agents_lost_since_the_decision_lower_the_level(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=10, agents=2)
    assert (await world.claim(level=5, free_agents=5)).dialed == 2


async def test_only_one_run_may_send_an_attempt(world: LedgerWorld) -> None:
    await world.open_campaign(agents=1)
    attempt = await world.reserve()
    begin = world.services.campaigns.mark_sent
    assert (await begin(attempt, "first", "")).status == "ok"
    assert (await begin(attempt, "first", "")).status == "ok", "a lost reply is asked for again"
    assert (await begin(attempt, "second", "")).status == "sent"


async def test_a_campaign_paused_after_the_claim_is_not_sent(world: LedgerWorld) -> None:
    await world.open_campaign(agents=1)
    attempt = await world.reserve()
    await world.client.hset("campaign:1", "status", "paused")
    assert await world.mark_sent(attempt) == "not_active"
    assert await world.state_of(attempt.contact) == "ready"
    assert await world.mark_sent(attempt) == "stale"
    await world.check_invariants()


async def test_an_expired_reservation_is_ready_again_and_its_entry_is_stale(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    entry = await world.reserve()
    await world.age(61)
    swept = await world.sweep()
    assert (swept.released, swept.wake) == (1, True)
    assert await world.mark_sent(entry) == "stale"
    await world.claim(level=1)
    second = (await world.reserved_calls())[1]
    assert second.id.startswith("1:1:1:"), "an attempt that was never sent is not counted"
    assert await world.mark_sent(entry) == "stale"
    assert await world.mark_sent(second) == "ok"


async def test_a_call_that_was_not_placed_does_not_count(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    attempt = await world.place_one()
    assert (await world.public())["total_calls"] == "1"
    await world.settle(attempt, "not_placed", "campaign", 5)
    assert await world.state_of("1") == "ready"
    assert (await world.record("1"))["a"] == 0
    assert (await world.public())["total_calls"] == "0"
    assert (await world.claim()).reason == "rate_limited"
    doc = await world.backend_doc("1")
    assert (doc["s"], doc["a"]) == ("pending", 0)


@pytest.mark.parametrize(("asked_s", "least_ms"), [(0, 900), (5, 4900)])
async def test_a_campaign_asked_for_fewer_calls_waits_at_least_as_long_as_an_api_that_is_down(
    world: LedgerWorld, asked_s: float, least_ms: int
) -> None:
    await world.open_campaign(contacts=1, agents=1)
    await world.settle(await world.place_one(), "not_placed", "campaign", asked_s)
    assert (await world.claim()).reason == "rate_limited"
    until = int((await world.client.hget("sd:api", "c:1")) or 0)
    seconds, micros = await world.client.time()
    assert least_ms <= until - seconds * 1000 - micros // 1000 <= least_ms + 100


async def test_an_event_beats_a_reply_that_said_not_placed(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    attempt = await world.place_one()
    await world.settle(attempt, "not_placed", "campaign", 0)
    assert await world.state_of("1") == "ready"
    assert await world.event("call_ringing", attempt) == "applied"
    assert await world.state_of("1") == "dialing"
    await world.check_invariants()


async def test_a_call_that_can_never_be_placed_is_final(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    attempt = await world.place_one()
    await world.settle(attempt, "never")
    assert await world.state_of("1") == "final"
    doc = await world.backend_doc("1")
    assert (doc["s"], doc["a"]) == ("invalid", 1)


async def test_an_api_that_is_down_is_paused_longer_each_time_and_probed(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=5, agents=5)
    rests = []
    for _ in range(3):
        attempt = await world.place_one()
        await world.settle(attempt, "not_placed", "api", 0)
        assert (await world.claim()).reason == "dialer_api_down"
        until = int((await world.client.hget("sd:api", "until")) or 0)
        seconds, micros = await world.client.time()
        rests.append(until - seconds * 1000 - micros // 1000)
        await world.client.hset("sd:api", "until", "1")
    assert rests[0] < rests[1] < rests[2]
    probe = await world.claim(level=5)
    assert (probe.dialed, probe.limit) == (1, "probe")
    assert (await world.claim(level=5)).reason == "dialer_api_down", "one call at a time finds out"
    attempt = (await world.reserved_calls())[-1]
    await world.mark_sent(attempt)
    await world.settle(attempt, "placed")
    assert (await world.claim(level=5)).dialed == 4


async def test_no_attempts_are_burned_while_the_api_is_down(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    for _ in range(6):
        attempt = await world.place_one()
        await world.settle(attempt, "not_placed", "api", 0)
        await world.client.hset("sd:api", "until", "1")
    assert (await world.record("1"))["a"] == 0


async def test_retries_wait_and_end_after_the_last_attempt(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    for number in (1, 2, 3):
        attempt = await world.place_one()
        assert attempt.id.startswith(f"1:1:{number}:")
        assert await world.event("call_failed", attempt, disposition="no_answer") == "ended"
        doc = await world.backend_doc("1")
        assert (doc["s"], doc["a"]) == ("no_answer", number)
        await world.check_invariants()
        if number < 3:
            assert await world.state_of("1") == "deferred"
            assert (await world.sweep()).promoted == 0
            await world.age(301)
            assert (await world.sweep()).promoted == 1
    assert await world.state_of("1") == "final"
    assert (await world.public())["no_answer"] == "3"


async def test_a_silent_attempt_is_ended_only_while_other_calls_have_events(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=3, agents=3)
    silent = await world.place_one()
    await world.settle(silent, "unknown")
    await world.pass_deadlines(silent.contact)
    assert (await world.sweep()).stalled == 1
    assert (await world.claim(level=5)).reason == "no_call_events"
    assert await world.state_of(silent.contact) == "dialing"
    await world.client.zadd("sd:c:1:dialing", {silent.contact: 9e15})
    other = await world.place_one()
    await world.event("call_ringing", other)
    await world.pass_deadlines(silent.contact, other.contact)
    swept = await world.sweep()
    assert (swept.no_event, swept.stalled) == (1, 1), "the other's own ringing proves nothing for itself"
    assert await world.state_of(silent.contact) == "deferred"
    assert (await world.record(silent.contact))["a"] == 1
    await world.check_invariants()


async def test_a_deadline_waits_for_events_that_are_still_to_be_read(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2, agents=2)
    silent, other = await world.place_one(), await world.place_one()
    await world.event("call_ringing", other)
    await world.client.xadd("dialer:events", {"type": "call_answered"})
    await world.pass_deadlines(silent.contact)
    await world.client.zadd("sd:c:1:dialing", {other.contact: 9e15})
    assert (await world.sweep()).stalled == 1
    await world.client.delete("dialer:events")
    assert (await world.sweep()).no_event == 1


async def test_a_conversations_deadline_waits_for_unread_events_whatever_the_ringings_had_waited_for(
    world: LedgerWorld,
) -> None:
    await world.open_campaign(contacts=2, agents=2)
    first, other = await world.place_one(), await world.place_one()
    await world.event("call_ringing", other)
    await world.client.xadd("dialer:events", {"type": "call_answered"})
    await world.pass_deadlines(first.contact)
    await world.client.zadd("sd:c:1:dialing", {other.contact: 9e15})
    assert (await world.sweep()).stalled == 1, "the unread event may be its answer"
    await world.client.delete("dialer:events")
    await world.event("call_answered", first)
    await world.client.xadd("dialer:events", {"type": "call_completed"})
    await world.client.zadd("sd:c:1:connected", {first.contact: 1})
    assert (await world.sweep()).too_long == 0, "the unread event may be its end"
    await world.client.delete("dialer:events")
    assert (await world.sweep()).too_long == 1


async def test_late_news_revives_an_attempt_the_deadline_ended(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2, agents=2)
    silent, other = await world.place_one(), await world.place_one()
    await world.event("call_ringing", other)
    await world.pass_deadlines(silent.contact)
    await world.sweep()
    assert await world.state_of(silent.contact) == "deferred"
    assert (await world.public())["failed"] == "1"
    assert await world.event("call_answered", silent, agent_id="1") == "applied"
    assert await world.state_of(silent.contact) == "connected"
    assert (await world.public())["failed"] == "0"
    await world.event("call_completed", silent)
    assert await world.state_of(silent.contact) == "final"
    await world.check_invariants()


async def test_an_answered_call_takes_its_agent_in_the_same_step(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=3, agents=2)
    attempt = await world.place_one()
    await world.event("call_answered", attempt, agent_id="1")
    assert await world.client.zrange("sd:q:sales:free", 0, -1) == ["2"]
    second = await world.place_one()
    await world.event("call_answered", second)
    assert await world.client.zcard("sd:q:sales:free") == 0, (
        "an agent took it, even if the event does not say which"
    )


async def test_an_answering_machine_takes_no_agent(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=3, agents=2)
    attempt = await world.place_one()
    await world.event("call_answered", attempt, answered_by="machine")
    assert await world.client.zcard("sd:q:sales:free") == 2


async def test_an_answering_machine_that_is_given_to_an_agent_takes_that_agent(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=3, agents=2)
    for agent_id, free in (("unheard-of", ["1", "2"]), ("1", ["2"])):
        attempt = await world.place_one()
        await world.event("call_answered", attempt, answered_by="machine", agent_id=agent_id)
        assert await world.client.zrange("sd:q:sales:free", 0, -1) == free
    await world.event("call_completed", attempt)
    assert not await world.client.hexists("sd:agent_calls", attempt.id)


async def test_agent_news_is_ordered_by_when_it_was_written(world: LedgerWorld) -> None:
    await world.services.queues.replace_agents("sales", [Agent(7, "offline")], 1)
    assert await world.agent_event("7", "available", "2000-0") == "freed"
    assert await world.agent_event("7", "busy", "1000-0") == "unchanged"
    assert await world.client.zrange("sd:q:sales:free", 0, -1) == ["7"]
    assert await world.agent_event("7", "busy", "3000-0") == "applied"
    assert await world.agent_event("7", "available", "2500-0") == "unchanged"


async def test_events_of_calls_that_were_not_placed_change_nothing(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2, agents=2)
    early = await world.write_entry()
    attempt = await world.place_one()
    stranger = type(attempt)("1:99:1:m", "1", "99", "")
    assert await world.event("call_answered", stranger) == "unknown_contact"
    assert await world.event("call_answered", type(attempt)("9:1:1:m", "9", "1", "")) == "unknown_campaign"
    assert await world.event("call_answered", type(attempt)("1:2:1:m", "1", "2", "")) == "no_attempt"
    assert await world.event("call_answered", attempt, entry=early) == "no_attempt", (
        "written before it was sent"
    )
    await world.event("call_completed", attempt, call_id="mine")
    assert await world.event("call_completed", attempt, call_id="other") == "foreign_call"
    assert await world.event("call_completed", attempt, attempt_id="1:1:2") == "foreign_attempt"
    await world.check_invariants()


async def test_late_news_of_an_older_attempt_changes_only_its_own_record(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    first = await world.place_one()
    await world.event("call_ringing", first, call_id="a")
    await world.event("call_failed", first, call_id="a", disposition="busy")
    await world.age(301)
    await world.sweep()
    second = await world.place_one()
    await world.event("call_ringing", second, call_id="b")
    assert await world.event("call_answered", first, call_id="a") == "applied"
    assert await world.state_of("1") == "dialing"
    assert (await world.public())["answered_calls"] == "1"
    assert await world.event("call_failed", first, call_id="a", disposition="busy") == "unchanged"
    await world.check_invariants()


async def test_a_contact_already_known_is_not_taken_again_from_a_page(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2)
    loaded = await world.services.campaigns.load("1", [world.row("1"), world.row("3")], 3)
    assert (loaded.known, loaded.added) == (1, 1)


async def test_a_final_contact_stays_known_long_after_the_backend_confirmed(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    attempt = await world.place_one()
    await world.event("call_answered", attempt)
    await world.event("call_completed", attempt)
    await world.age(10_000)
    assert (await world.sweep()).forgotten == 0
    update = await world.lease_update("1", "me")
    assert update.status == "completed"
    assert await world.services.outbox.acknowledge("1", "1", "me", update.version) == "done"
    assert (await world.sweep()).forgotten == 0
    assert (await world.services.campaigns.load("1", [world.row("1")], 3)).known == 1
    await world.age(601)
    assert (await world.sweep()).forgotten == 1
    await world.check_invariants()


async def test_a_final_contact_stays_known_while_its_end_is_sent_again(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    await world.event("call_completed", await world.place_one())
    outbox = world.services.outbox
    late = await world.lease_update("1", "late")
    await move_clock(world.client, world.keys, 60)
    other = await world.lease_update("1", "other")
    assert await outbox.acknowledge("1", "1", "other", other.version) == "done"
    assert await outbox.acknowledge("1", "1", "late", late.version) == "lost", (
        "it may have told something older"
    )
    await move_clock(world.client, world.keys, 601)
    assert (await world.sweep()).forgotten == 0
    assert (await world.services.campaigns.load("1", [world.row("1")], 3)).known == 1
    again = await world.lease_update("1", "late")
    assert await outbox.acknowledge("1", "1", "late", again.version) == "done"
    await move_clock(world.client, world.keys, 601)
    assert (await world.sweep()).forgotten == 1
    await world.check_invariants()


async def test_contacts_out_of_attempts_are_not_made_ready(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0)
    loaded = await world.services.campaigns.load("1", [world.row("1", attempts=3)], 3)
    assert (loaded.used_up, loaded.added) == (1, 0)


async def test_updates_of_a_contact_are_coalesced_and_delivered_by_one(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    outbox = world.services.outbox
    attempt = await world.place_one()
    first = await world.lease_update("1", "a")
    assert first.status == "dialing"
    assert await outbox.lease("1", "1", "b") == "busy"
    await world.event("call_answered", attempt)
    await world.event("call_completed", attempt)
    assert await outbox.acknowledge("1", "1", "a", first.version) == "newer"
    second = await world.lease_update("1", "a")
    assert second.status == "completed"
    assert await outbox.acknowledge("1", "1", "a", second.version) == "done"
    assert await outbox.lease("1", "1", "a") == "none"
    assert await world.client.xlen("dialer:updates") == 1, "one entry, however many changes"


async def test_after_a_lost_lease_the_newest_state_is_delivered_again(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    outbox = world.services.outbox
    attempt = await world.place_one()
    old = await world.lease_update("1", "zombie")
    await world.event("call_failed", attempt, disposition="busy")
    await world.client.hset("sd:c:1:outbox", "1", '{"v":2,"s":"busy","l":"zombie","le":1}')
    newer = await world.lease_update("1", "other")
    assert await outbox.acknowledge("1", "1", "other", newer.version) == "done"
    assert await outbox.acknowledge("1", "1", "zombie", old.version) == "lost"
    again = await world.lease_update("1", "third")
    assert again.status == "busy"


async def test_cleanup_removes_all_of_an_ended_campaign_and_of_no_other(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2, agents=2)
    cleanup = world.services.campaigns.delete
    assert await cleanup("1", "sales") == "not_finished"
    attempt = await world.place_one()
    await world.client.hset("campaign:1", "status", "completed")
    assert await cleanup("1", "sales") == "calls_live"
    await world.event("call_failed", attempt, disposition="busy")
    assert await cleanup("1", "sales") == "updates_waiting"
    update = await world.lease_update(attempt.contact, "me")
    await world.services.outbox.acknowledge("1", attempt.contact, "me", update.version)
    assert await cleanup("1", "sales") == "ok"
    left = {str(key) for key in await world.client.keys("*")}
    streams = {"dialer:calls", "dialer:updates", "dialer:ticks", "dialer:events", "dialer:outcomes"}
    agents = {"sd:agent_records", "sd:q:sales:free", "sd:q:sales:busy", "sd:q:sales:state"}
    watermarks = {"sd:event_watermark", "sd:first_events", "sd:server", "sd:persons_up", "sd:persons_called"}
    answers = {key for key in left if ":answer:" in key}
    assert left - answers <= streams | agents | watermarks
    assert all([await world.client.pttl(key) > 0 for key in answers])
    assert await cleanup("1", "sales") == "unknown"


async def test_cleanup_removes_so_many_contacts_at_a_time_each_of_them_wholly(
    world: LedgerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.open_campaign(contacts=5)
    await world.client.hset("campaign:1", "status", "cancelled")
    left = []

    async def run(*asked: Any) -> Any:
        answer = await Scripts.run(world.services.scripts, *asked)
        left.append(await world.client.hlen("sd:c:1:records"))
        assert await world.count("1", "ready") == left[-1]
        return answer

    monkeypatch.setattr(campaigns, "DELETE_BATCH", 2)
    monkeypatch.setattr(world.services.scripts, "run", run)
    assert await world.services.campaigns.delete("1", "sales") == "ok"
    assert left == [3, 1, 0]
    assert not [key async for key in world.client.scan_iter("sd:c:1:*")]


async def test_counters_other_programs_increment_are_set_from_our_own_truth(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2, agents=2)
    attempt = await world.place_one()
    await world.client.hincrby("campaign:1", "total_calls", 1)
    await world.client.hincrby("campaign:1", "active_calls", 1)
    await world.settle(attempt, "placed")
    public = await world.public()
    assert (public["total_calls"], public["active_calls"]) == ("1", "1")
