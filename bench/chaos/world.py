"""The world of a chaos run: that of a demo, and what real lists and teams add to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from bench.chaos.options import CAMPAIGNS, ChaosOptions
from streamdialer.simulation.demo.options import demo_world
from streamdialer.simulation.world.engine import World
from streamdialer.simulation.world.entities import Contact, Id

TEAM_QUEUES: Final = ("service", "support")
"""Of the progressive campaigns."""
AGENTLESS: Final = CAMPAIGNS + len(TEAM_QUEUES) + 1
HOUSEMATES: Final = 5
"""Every fifth contact has the number of the contact before it."""
IN_TWO_LISTS: Final = 6
"""Every sixth contact stands in the list of another campaign, too."""
REFUSED: Final = 24
"""The backend refuses all updates of every 24th contact; it stands in one list."""


def chaos_world(options: ChaosOptions) -> World:
    """One campaign is predictive, one adaptive, and two are progressive, whose queues share agents; one is agentless.

    The agentless one names a queue of the progressive ones: its calls must not count there.
    """
    world = demo_world(options.as_demo)
    world.names_attempts = True
    world.campaigns[CAMPAIGNS].pacing = "adaptive"
    for campaign, queue in enumerate(TEAM_QUEUES, CAMPAIGNS + 1):
        changes = {"id": campaign, "name": f"Campaign {campaign}", "queue_name": queue}
        progressive = {"dial_mode": "progressive", "pacing_ratio": 1.0}
        world.add_campaign(msgspec.structs.replace(world.campaigns[1], **changes, **progressive))
    agentless = {"id": AGENTLESS, "name": "Messages", "dial_mode": "agentless", "slots": options.team}
    world.add_campaign(msgspec.structs.replace(world.campaigns[CAMPAIGNS + 1], **agentless))
    _add_team(world, options.team)
    contacts = list(world.contacts.values())
    contacts += _contacts_of_the_team(options, contacts)
    for contact, housemate in zip(contacts[::HOUSEMATES], contacts[1::HOUSEMATES], strict=False):
        housemate.phone_number, housemate.priority = contact.phone_number, contact.priority
    world.add_contacts(contacts[len(world.contacts) :])
    for at, contact in enumerate(contacts[::IN_TWO_LISTS]):
        others = [campaign for campaign in world.campaigns if campaign != contact.campaign_id]
        world.list_also_in(contact, others[at % len(others)])
    return world


def _add_team(world: World, agents: int) -> None:
    """Two agents work in one queue each when there are enough, the others in both."""
    first = max(map(int, world.agents)) + 1
    for number in range(agents):
        queue, other = TEAM_QUEUES[number % 2], TEAM_QUEUES[1 - number % 2]
        works_in_both = number >= 2 or agents < 4
        world.add_agent(first + number, queue, also_in=(other,) if works_in_both else ())


def _contacts_of_the_team(options: ChaosOptions, known: Sequence[Contact]) -> list[Contact]:
    first = len(known) + 1
    return [
        msgspec.structs.replace(
            known[at % len(known)],
            id=first + at,
            campaign_id=CAMPAIGNS + 1 + at % (AGENTLESS - CAMPAIGNS),
            phone_number=f"+1555{first + at:07d}",
        )
        for at in range(options.team_contacts)
    ]


def refused_contacts(world: World) -> frozenset[Id]:
    """Contacts whose updates the backend refuses."""
    return frozenset(list(world.contacts)[IN_TWO_LISTS // 2 :: REFUSED])
