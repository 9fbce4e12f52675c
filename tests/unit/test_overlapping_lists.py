"""A contact of the simulated world that stands in the lists of two campaigns is one person."""

from __future__ import annotations

from streamdialer.simulation.world.engine import World
from streamdialer.simulation.world.entities import Campaign, Contact, Id
from tests.support.simulated_world import OUTCOMES


def overlapping(outcome: str) -> World:
    """Contact 1 stands in the lists of campaigns 1 and 2; campaign 3 has contact 2 alone."""
    world = World(OUTCOMES[outcome])
    for campaign in (1, 2, 3):
        world.add_campaign(Campaign(id=campaign, max_retries=2))
    for agent in ("a0", "a1"):
        world.add_agent(agent, "sales")
    world.add_contacts(
        [
            Contact(id=1, campaign_id=1, also_in=(2,), phone_number="+15550000001"),
            Contact(id=2, campaign_id=3, phone_number="+15550000002"),
        ]
    )
    return world


def dial(world: World, campaign: Id, contact: int = 1, at: float = 0.0) -> None:
    world.originate(at, campaign, contact, f"+1555000{campaign}{contact:03}")  # another number in each list


def end_all_calls(world: World) -> float:
    while world.live:
        world.advance(world.next_at() or world.now)
    return world.now


def test_a_contact_stands_in_all_its_lists_and_is_counted_once() -> None:
    world = overlapping("human")
    assert [[contact.id for contact in world.contacts_of(campaign)] for campaign in (1, 2, 3)] == [
        [1],
        [1],
        [2],
    ]
    world.list_also_in(world.contacts[1], 3)
    assert world.contacts[1].campaign_ids == (1, 2, 3)
    assert world.contacts_of(3) == [world.contacts[2], world.contacts[1]]
    assert world.contacts_of(1)[0] is world.contacts_of(3)[1], "what one list changes the others show"
    assert world.audit(0).contacts == {"pending": 2}


def test_a_call_of_the_other_list_meanwhile_is_a_call_to_a_live_phone() -> None:
    world = overlapping("no_answer")
    dial(world, 1)
    dial(world, 3, contact=2)
    assert world.audit(1).calls_to_live_phones == 0
    dial(world, 2, at=2)
    assert world.audit(2).calls_to_live_phones == 1
    dial(world, 2, at=end_all_calls(world))
    assert world.audit(world.now).calls_to_live_phones == 1


def test_a_call_of_the_other_list_after_the_end_is_found_as_one_of_another_list() -> None:
    world = overlapping("human")
    dial(world, 1)
    dial(world, 2, at=end_all_calls(world))
    assert world.auditor.dialed_after_final == {(1, True): 1}
    dial(world, 2, at=end_all_calls(world))
    assert world.auditor.dialed_after_final == {(1, True): 1, (1, False): 1}, "the end of its own call"


def test_attempts_are_counted_per_list() -> None:
    world = overlapping("busy")
    for campaign in (1, 2, 1, 2):
        dial(world, campaign, at=end_all_calls(world))
    assert world.auditor.over_max_retries == set()
    dial(world, 2, at=end_all_calls(world))
    assert world.auditor.over_max_retries == {1}
