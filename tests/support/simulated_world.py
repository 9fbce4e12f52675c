"""A small world of phones and agents, and worlds in which every call has the same outcome."""

from __future__ import annotations

from streamdialer.simulation.world.config import WorldConfig
from streamdialer.simulation.world.engine import World
from streamdialer.simulation.world.entities import Campaign

ALL_ANSWER = WorldConfig(human=1.0, machine=0, busy=0, failed=0)
OUTCOMES = {
    "human": ALL_ANSWER,
    "machine": WorldConfig(human=0, machine=1, busy=0, failed=0),
    "busy": WorldConfig(human=0, machine=0, busy=1, failed=0),
    "failed": WorldConfig(human=0, machine=0, busy=0, failed=1),
    "no_answer": WorldConfig(human=0, machine=0, busy=0, failed=0),
}


def small_world(config: WorldConfig | None = None, agents: int = 1, seed: int = 0) -> World:
    world = World(config, seed)
    world.add_campaign(Campaign(id=1, queue_name="sales"))
    for number in range(agents):
        world.add_agent(f"a{number}", "sales")
    return world
