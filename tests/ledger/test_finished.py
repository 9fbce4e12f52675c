"""A finished contact stays finished until the backend itself changes it."""

from __future__ import annotations

from typing import Any

import anyio
import msgspec
import pytest

from streamdialer.ledger.outbox import Delivery
from streamdialer.ledger.records import Update
from streamdialer.ledger.recovery import InFlightRow
from streamdialer.ledger.types import LoadRow
from streamdialer.model import Attempt
from tests.support.ledger_fixture import LedgerWorld
from tests.support.ledger_invariants import check_ledger
from tests.support.ledger_reader import move_clock

pytestmark = pytest.mark.anyio
LONG_S = 10_000_000


def row(shown: str, attempts: int = 0, *, reset: bool = False) -> LoadRow:
    return msgspec.structs.replace(LedgerWorld.row("1", attempts=attempts), shown=shown, reset=reset)


async def load(world: LedgerWorld, shown: str, attempts: int = 0, *, reset: bool = False) -> None:
    """The backend is asked now, and shows contact 1 so."""
    now = await world.services.queues.begin_agent_poll("any")
    rows = [row(shown, attempts, reset=reset)]
    await world.services.campaigns.load("1", rows, 3, asked_ms=now.ledger_ms)


async def answer(world: LedgerWorld, verdict: Delivery, contact: str = "1") -> Update:
    """The backend gets the newest state of the contact."""
    outbox = world.services.outbox
    update = await outbox.lease("1", contact, "worker")
    assert isinstance(update, Update)
    words = "no such word" if verdict == "refused" else ""
    assert await outbox.acknowledge("1", contact, "worker", update.version, verdict, words) == "done"
    return update


async def finish(
    world: LedgerWorld, verdict: Delivery | None = "taken", *, how: str = "completed"
) -> Attempt:
    """Contact 1 is loaded as `new`, called and finished; `verdict` None: the backend has not answered."""
    await world.open_campaign(contacts=0)
    await world.set_agents(1)
    await load(world, "new")
    attempt = await world.place_one()
    kind = "call_completed" if how == "completed" else "call_failed"
    await world.event(kind, attempt, **({} if how == "completed" else {"disposition": how}))
    if verdict is not None:
        await answer(world, verdict)
    return attempt


async def pass_time(world: LedgerWorld, seconds: int = 3) -> None:
    await move_clock(world.services.client, world.services.keys, seconds)


async def remembered(world: LedgerWorld) -> dict[str, str]:
    found: Any = await world.services.client.hgetall(world.services.keys.refused("1"))
    return dict(found)


async def is_known(world: LedgerWorld) -> bool:
    return bool(await world.services.client.hexists(world.services.keys.records("1"), "1"))


# the backend refuses updates


async def test_a_finished_contact_whose_end_the_backend_refused_does_not_come_back(
    world: LedgerWorld,
) -> None:
    await finish(world, "refused")
    for _ in range(3):
        await pass_time(world, LONG_S)
        await world.sweep()
        assert not await is_known(world), "its record has gone"
        await load(world, "new")
        await load(world, "new", reset=True)
        assert not await is_known(world)
    assert await remembered(world) == {"1": "new"}
    await check_ledger(world.services.client, world.services.keys, ["1"])


@pytest.mark.parametrize("has_record", [True, False], ids=["while its record is kept", "later"])
async def test_a_changed_row_brings_it_back(world: LedgerWorld, has_record: bool) -> None:
    first = await finish(world, "refused")
    await pass_time(world, 3 if has_record else LONG_S)
    await world.sweep()
    await load(world, "new")
    assert await world.count("1", "ready") == 0
    await load(world, "changed", attempts=1)
    assert await world.state_of("1") == "ready"
    assert await remembered(world) == {}
    again = await world.place_one()
    assert again.id != first.id
    assert again.id.startswith("1:1:2:"), "the backend counts one attempt"
    await check_ledger(world.services.client, world.services.keys, ["1"])


async def test_a_row_that_was_never_seen_counts_as_unchanged_when_it_is_seen_first(
    world: LedgerWorld,
) -> None:
    await finish(world, "refused")
    record = await world.record("1")
    del record["rw"]
    await world.services.client.hset(
        world.services.keys.records("1"), "1", msgspec.json.encode(record).decode()
    )
    await pass_time(world, LONG_S)
    await world.sweep()
    await load(world, "first")
    await load(world, "first")
    assert (await remembered(world), await is_known(world)) == ({"1": "first"}, False)
    await load(world, "second")
    assert await world.state_of("1") == "ready"


async def test_what_we_wrote_ourselves_is_no_change_of_the_backend(world: LedgerWorld) -> None:
    """The backend takes that the contact is pending again, and refuses how its second call ended."""
    await finish(world, "taken", how="no_answer")
    await pass_time(world, 301)
    await world.sweep()
    await answer(world, "taken")
    await world.set_agents(1)
    await world.event("call_completed", await world.place_one())
    await answer(world, "refused")
    await pass_time(world, 3)
    await load(world, "as we wrote it", attempts=1)
    assert await world.state_of("1") == "final"
    await pass_time(world, LONG_S)
    await world.sweep()
    await load(world, "as we wrote it", attempts=1)
    assert not await is_known(world)


async def test_a_retry_happens_although_the_backend_refuses_updates_and_its_attempts_are_ours(
    world: LedgerWorld,
) -> None:
    await finish(world, "refused", how="no_answer")
    assert await world.state_of("1") == "deferred"
    await world.services.client.hset(world.services.keys.server, "run", "another")
    await world.claim(level=0)
    await world.services.memory.drop_reloadable("1")
    assert await world.state_of("1") == "deferred", "only the ledger knows of its attempt"
    assert (await world.record("1"))["a"] == 1


async def test_after_a_data_loss_a_finished_contact_is_not_taken_for_one_in_a_call(
    world: LedgerWorld,
) -> None:
    """The backend took that the call was placed and refused how it ended."""
    await finish(world, "refused")
    await pass_time(world, LONG_S)
    await world.sweep()
    await world.services.client.hset(world.services.keys.server, "run", "another")
    await world.claim(level=0)
    held = [InFlightRow(row("new", 1), is_answered=False, last_attempt_ms=None)]
    assert await world.services.memory.hold_in_flight("1", held, world.retry) == 0
    assert not await is_known(world)


async def test_a_contact_with_a_bad_number_is_not_remembered_so_that_it_can_be_corrected(
    world: LedgerWorld,
) -> None:
    await world.open_campaign(contacts=0)
    bad = msgspec.structs.replace(row("new"), problem="no number")
    await world.services.campaigns.load("1", [bad], 3)
    await answer(world, "refused")
    await pass_time(world, LONG_S)
    await world.sweep()
    await load(world, "new")
    assert await world.state_of("1") == "ready"


async def test_the_campaign_says_that_its_updates_are_refused(world: LedgerWorld) -> None:
    await finish(world, "refused")
    totals: Any = await world.services.client.hgetall(world.services.keys.totals("1"))
    assert (totals["refused_updates"], totals["refused_why"]) == ("1", "no such word")
    assert float(totals["refused_at"]) > 0


# a recycled list


async def test_a_finished_contact_that_the_backend_makes_pending_is_dialed_again(world: LedgerWorld) -> None:
    first = await finish(world)
    await pass_time(world)
    await load(world, "recycled")
    again = await world.place_one()
    assert again.id.startswith("1:1:1:"), "the row says that it has no attempt"
    assert again.id != first.id
    await check_ledger(world.services.client, world.services.keys, ["1"])


async def test_before_the_backend_has_confirmed_the_end_no_page_brings_a_contact_back(
    world: LedgerWorld,
) -> None:
    await finish(world, None)
    await pass_time(world)
    await load(world, "changed")
    assert await world.state_of("1") == "final"
    await answer(world, "taken")
    await load(world, "changed")
    assert await world.state_of("1") == "final", "the list may come from a cache"


async def test_a_page_that_was_asked_for_before_the_end_brings_nobody_back(world: LedgerWorld) -> None:
    await finish(world)
    asked = (await world.services.queues.begin_agent_poll("any")).ledger_ms
    await pass_time(world, 60)
    await world.services.campaigns.load("1", [row("changed")], 3, asked_ms=asked)
    assert await world.state_of("1") == "final"
    await world.services.campaigns.load("1", [row("changed")], 3)
    assert await world.state_of("1") == "final", "it is not known when the backend was asked"


async def test_a_row_as_it_was_before_our_update_waits_for_the_end_of_the_retention(
    world: LedgerWorld,
) -> None:
    await finish(world)
    await pass_time(world)
    await load(world, "new")
    assert await world.state_of("1") == "final"
    await pass_time(world, LONG_S)
    await world.sweep()
    await load(world, "new")
    assert await world.state_of("1") == "ready"


async def test_a_row_due_for_retry_brings_no_finished_contact_back(world: LedgerWorld) -> None:
    await finish(world)
    await pass_time(world)
    await load(world, "no_answer", 1, reset=True)
    assert await world.state_of("1") == "final"


async def test_a_contact_not_to_be_called_does_not_come_back(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0)
    marked = msgspec.structs.replace(row("new"), call='{"id":1,"phone_number":"+15550100","dnc":true}')
    await world.services.campaigns.load("1", [marked], 3)
    await answer(world, "taken")
    await pass_time(world)
    await load(world, "changed")
    assert await world.state_of("1") == "final"


async def test_a_contact_does_not_come_back_while_a_late_worker_may_have_overwritten_its_end(
    world: LedgerWorld,
) -> None:
    await finish(world, None)
    late = await world.services.outbox.lease("1", "1", "late")
    assert isinstance(late, Update)
    await pass_time(world, 3600)
    await answer(world, "taken")
    assert await world.services.outbox.acknowledge("1", "1", "late", late.version) == "lost"
    await pass_time(world)
    await load(world, "changed")
    assert await world.state_of("1") == "final"


async def test_a_late_update_that_has_reached_the_backend_before_its_worker_answers_brings_nobody_back(
    world: LedgerWorld,
) -> None:
    await finish(world, None)
    late = await world.services.outbox.lease("1", "1", "late")
    assert isinstance(late, Update)
    await pass_time(world, 3600)
    await answer(world, "taken")
    await pass_time(world)
    await load(world, "as the late worker wrote it")
    assert await world.state_of("1") == "final"
    assert await world.services.outbox.acknowledge("1", "1", "late", late.version) == "lost"
    await answer(world, "taken")
    await pass_time(world)
    await load(world, "recycled")
    assert await world.state_of("1") == "ready"


async def test_a_contact_without_attempts_left_comes_back_when_the_backend_gives_it_new_ones(
    world: LedgerWorld,
) -> None:
    await world.open_campaign(contacts=0)
    await load(world, "used up", attempts=3)
    assert await world.state_of("1") == "final"
    await pass_time(world)
    await load(world, "used up", attempts=3)
    assert await world.state_of("1") == "final"
    await load(world, "recycled")
    assert await world.state_of("1") == "ready"


# after a data loss


async def test_an_update_from_before_a_data_loss_is_doubted_and_one_of_a_later_call_is_not(
    world: LedgerWorld,
) -> None:
    attempt = await finish(world, None)
    outbox, client = world.services.outbox, world.services.client
    before = await outbox.lease("1", "1", "worker")
    assert isinstance(before, Update)
    assert before.doubt is None, "nothing was lost"
    await client.hset(world.services.keys.server, "run", "another")
    await world.claim(level=0)
    doubted = await outbox.lease("1", "1", "worker")
    assert isinstance(doubted, Update)
    assert doubted.doubt is not None
    assert doubted.disposition == "completed"
    assert doubted.doubt.last_attempt_ms is not None
    assert await outbox.acknowledge("1", "1", "worker", doubted.version) == "done"
    await anyio.sleep(0.2)
    await client.hset(world.services.keys.server, "hold_until", "0")
    mark = (await world.services.memory.state()).rebuild_epoch
    assert await world.services.memory.mark_rebuilt("1", mark)
    await pass_time(world)
    await load(world, "recycled")
    again = await world.place_one()
    assert again.id != attempt.id
    later = await outbox.lease("1", "1", "worker")
    assert isinstance(later, Update)
    assert (later.status, later.doubt) == ("dialing", None)


async def test_a_waiting_contact_is_removed_when_the_backend_shows_a_newer_state(world: LedgerWorld) -> None:
    await finish(world, None, how="no_answer")
    assert await world.state_of("1") == "deferred"
    await answer(world, "outdated")
    assert await world.state_of("1") == "final"
    assert (await world.sweep()).forgotten == 1
    assert not await is_known(world)
    await check_ledger(world.services.client, world.services.keys, ["1"])
