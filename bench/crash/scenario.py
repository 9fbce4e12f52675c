"""The two small scenarios that every run repeats: contacts, behaviour of people and services, settings.

`campaign` makes every handler do everything it can. `data_loss` starts with a Redis that is new to the ledger, as after
a data loss: the dialer waits for calls it may have lost, and rebuilds the campaigns from the backend.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Final, Literal

import msgspec

from streamdialer.model import DialMode
from streamdialer.simulation.child_environment import with_settings
from streamdialer.simulation.world.config import CentreConfig, WorldConfig
from streamdialer.simulation.world.engine import World
from streamdialer.simulation.world.entities import Campaign, Contact
from streamdialer.simulation.world.outcomes import draw_call

ScenarioName = Literal["campaign", "data_loss"]
SCENARIOS: Final[tuple[ScenarioName, ...]] = ("campaign", "data_loss")
SPEED: Final = 100.0
RING_S: Final = 30.0
"""Seconds of life."""
WORLD_CONFIG: Final = WorldConfig(
    human=0.35,
    machine=0.15,
    busy=0.15,
    failed=0.10,
    answer_mean_s=10.0,
    machine_answer_s=(5.0, 7.0),
    talk_mean_s=25.0,
    talk_cv=0.5,
    wrap_up_mean_s=5.0,
)
MAX_RETRIES: Final = 3
RETRY_DELAY_S: Final = 0.2
QUEUE, LATE_QUEUE, PREVIEW_QUEUE = "10", "20", "30"
AGENTS: Final = {QUEUE: 6, LATE_QUEUE: 2, PREVIEW_QUEUE: 1}
ADAPTIVE_CAMPAIGN: Final = 2
LATE_CAMPAIGN: Final = 3
"""Has its own queue: its calls go on independently, and their events end attempts that got none."""
PREVIEW_CAMPAIGN: Final = 4
PREVIEW_AGENT: Final = 1009
"""The last agent of one queue that `build_fixture` adds."""
TEAM_QUEUES: Final = ("40", "50")
"""Both have the same one agent, so of their progressive campaigns one call may be up."""
TEAM_AGENT: Final = 1010
FIRST_LATE: Final = 30
LATE_CONTACTS: Final = 2

TEAM_CAMPAIGNS: Final = (5, 6)

CAMPAIGNS: Final = {
    1: QUEUE,
    2: QUEUE,
    LATE_CAMPAIGN: LATE_QUEUE,
    PREVIEW_CAMPAIGN: PREVIEW_QUEUE,
    **dict(zip(TEAM_CAMPAIGNS, TEAM_QUEUES, strict=True)),
}
MODES: Final[dict[int, DialMode]] = {ADAPTIVE_CAMPAIGN: "predictive", PREVIEW_CAMPAIGN: "preview"}

NO_NUMBER: Final = 20
REFUSED: Final = 21
"""Its originate request is answered 404."""
CUT: Final = 22
"""Its call is placed, but the connection is cut instead of a reply."""
TURNED_AWAY: Final = 23
"""Its first originate request is answered 503."""
DUE: Final = 24
"""Due for a retry, but only the backend knows it."""
WITHDRAWN: Final = 25
"""Ready in Redis since long, but no longer pending in the backend."""
IN_TWO_LISTS: Final = (26, 27)
"""In the lists of campaigns 1 and 2, which call them first."""
HOUSEMATES: Final = {28: 1, 29: 2}
"""Contacts with one number, and their campaigns, which call them first."""
SHOWN_DIALING, SHOWN_ANSWERED, SHOWN_IN_TWO_LISTS = 40, 41, 42
"""The backend shows a live call; Redis has lost it."""
SHOWN_TO_AGENTS: Final = (50, 51, 52)
"""The contacts of the preview campaign; the last one asks for a callback before it is previewed."""
TEAM_CONTACTS: Final = (60, 61, 62, 63)
NOT_TAKEN: Final = {64: 405, 65: 400}
"""Contacts of the first team campaign, and how the backend refuses each of their updates. The first one talks at once,
the second one is never reached."""
URGENT: Final = 9
"""The priority of contacts that are called first."""
DNC_CONTACT: Final = (2, 1)
"""Campaign and contact of a person who asks not to be called."""
LOG_IN: Final = ("dialer", "secret")


class Fixture(msgspec.Struct, frozen=True):
    """The world of a run, and what the checks need to know about it."""

    scenario: ScenarioName
    world: World
    attempts_before: Mapping[int, int]
    """Attempts that the backend knew before the run, by contact; the ledger has no record of them."""
    remembered: frozenset[str]
    """Earlier attempts that the ledger may reconstruct, without the mark at the end of their ids."""


def _ordinary_contacts(scenario: ScenarioName) -> dict[int, int]:
    """Ordinary contacts: id -> campaign."""
    count = 12 if scenario == "campaign" else 4
    return {number: 1 + number % 2 for number in range(1, count + 1)} | {FIRST_LATE: LATE_CAMPAIGN}


def _seed_with_all_outcomes(seed: int, people: Mapping[int, int]) -> int:
    """The first seed from `seed` on that gives the first calls of these people all five outcomes."""
    talks, is_not_reached = NOT_TAKEN
    for candidate in count(seed):

        def outcome(contact: int, ordinal: int = 0, seed: int = candidate) -> str:
            return draw_call(WORLD_CONFIG, seed, contact, ordinal, RING_S).outcome

        in_vain = {outcome(is_not_reached, ordinal) for ordinal in range(MAX_RETRIES)}
        suits = outcome(talks) == "human" and in_vain <= {"busy", "failed", "no_answer"}
        if suits and len({outcome(contact) for contact in people}) == 5:
            return candidate
    raise AssertionError("unreachable")


def build_fixture(scenario: ScenarioName, seed: int) -> Fixture:
    """The same for the same seed."""
    people = _ordinary_contacts(scenario)
    world = World(WORLD_CONFIG, _seed_with_all_outcomes(seed * 1000, _ordinary_contacts("campaign")))
    for campaign, queue in CAMPAIGNS.items():
        world.add_campaign(
            Campaign(
                id=campaign,
                queue_name=queue,
                dial_mode=MODES.get(campaign, "progressive"),
                pacing="adaptive" if campaign == ADAPTIVE_CAMPAIGN else "fixed",
                max_retries=MAX_RETRIES,
                retry_delay=RETRY_DELAY_S,
                max_concurrent_calls=20,
            )
        )
    number = 1001
    for queue, agents in AGENTS.items():
        for _ in range(agents):
            world.add_agent(number, queue)
            number += 1
    world.add_agent(TEAM_AGENT, TEAM_QUEUES[0], also_in=TEAM_QUEUES[1:])
    world.add_contacts(_contact(contact, campaign) for contact, campaign in people.items())
    world.add_contacts(_contact(contact, TEAM_CAMPAIGNS[contact % 2]) for contact in TEAM_CONTACTS)
    if scenario == "data_loss":
        recently = datetime.now(UTC).isoformat()
        shown_in_call = {SHOWN_DIALING: "dialing", SHOWN_ANSWERED: "answered", SHOWN_IN_TWO_LISTS: "dialing"}
        for contact, status in shown_in_call.items():
            shown = _contact(contact, 1)
            shown.status, shown.attempts, shown.last_attempt = status, 1, recently
            world.add_contacts([shown])
        world.list_also_in(world.contacts[SHOWN_IN_TWO_LISTS], 2)
        remembered = {f"1:{contact}:1" for contact in shown_in_call} | {f"2:{SHOWN_IN_TWO_LISTS}:1"}
        return Fixture(scenario, world, {}, frozenset(remembered))
    world.add_contacts([_contact(REFUSED, 1), _contact(CUT, 2), _contact(TURNED_AWAY, 1)])
    world.add_contacts(_contact(contact, PREVIEW_CAMPAIGN) for contact in SHOWN_TO_AGENTS)
    for contact in IN_TWO_LISTS:
        shared = _contact(contact, 1)
        shared.priority = URGENT
        world.add_contacts([shared])
        world.list_also_in(shared, 2)
    for contact, campaign in HOUSEMATES.items():
        housemate = _contact(contact, campaign)
        housemate.priority, housemate.phone_number = URGENT, _contact(min(HOUSEMATES), 1).phone_number
        world.add_contacts([housemate])
    world.add_contacts(_contact(contact, TEAM_CAMPAIGNS[0]) for contact in NOT_TAKEN)
    no_number = _contact(NO_NUMBER, 1)
    no_number.phone_number = ""
    due = _contact(DUE, 2)
    due.status, due.attempts, due.last_attempt = "no_answer", 1, "2026-01-02T00:00:00Z"
    withdrawn = _contact(WITHDRAWN, 1)
    withdrawn.status = "do_not_call"
    world.add_contacts([no_number, due, withdrawn])
    return Fixture(scenario, world, {DUE: 1}, frozenset())


def add_late_contacts(world: World) -> None:
    """After a crash: calls whose events end the attempts that the crashed process left behind."""
    last = max(contact for contact in world.contacts if FIRST_LATE <= contact < SHOWN_DIALING)
    world.add_contacts(_contact(last + 1 + number, LATE_CAMPAIGN) for number in range(LATE_CONTACTS))


def _contact(contact: int, campaign: int) -> Contact:
    return Contact(id=contact, campaign_id=campaign, phone_number=f"+1555{contact:07d}")


def centre_config() -> CentreConfig:
    """As deployed: replies are held while the phone rings, and the backend needs a log-in."""
    return CentreConfig(backend_username=LOG_IN[0], backend_password=LOG_IN[1])


def child_environment(scenario: ScenarioName, urls: Mapping[str, str]) -> dict[str, str]:
    """The environment of the processes; `urls` are settings by field name."""
    settings: dict[str, str | float] = {
        **urls,
        "backend_username": LOG_IN[0],
        "backend_password": LOG_IN[1],
        "log_level": "INFO",
        "log_format": "text",
        "pacing_time_scale": SPEED,
        "ring_timeout_s": RING_S / SPEED,
        "uncertain_margin_s": 5.0,  # a request may be sent up to five seconds after mark_sent
        "max_call_duration_s": 8.0 if scenario == "campaign" else 3.0,
        "originate_timeout_s": 5.0,
        "dial_interval_s": 0.2,
        "retry_interval_s": 0.3,
        "stats_interval_s": 0.3,
        "cleanup_after_s": 0.2,
        "agents_cache_ttl_s": 0.2,
        "campaign_cache_ttl_s": 0.5,
        "refill_interval_s": 0.2,
        "page_size": 5,
        "reservation_lease_s": 2.0,
        "final_ttl_s": 86_400,  # the ledger stays complete, for the checks
        "sweep_interval_s": 0.05,
        "read_block_s": 0.1,
        "claim_min_idle_s": 0.6,
        "max_deliveries": 5,
        "idle_consumer_ttl_s": 0.8,
        "shutdown_timeout_s": 4.0,
        "preview_timeout_s": 1.0,
        "breaker_max_open_s": 0.5,
    }
    return with_settings(os.environ, settings)
