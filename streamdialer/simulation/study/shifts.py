"""Adds a scenario's agents, shifts, breaks and absences to the world."""

from __future__ import annotations

from streamdialer.simulation.study.scenario import MINUTE_S, Scenario
from streamdialer.simulation.world.engine import World

QUEUE = "sales"


def enrol_agents(world: World, scenario: Scenario) -> None:
    """Agents of the whole day are free at once; shifts, breaks and absences are scheduled."""
    for number in range(scenario.agents):
        world.add_agent(number, QUEUE)
    number = scenario.agents
    for shift in scenario.shifts:
        for _ in range(shift.agents):
            _log_in(world, number, shift.from_min * MINUTE_S)
            _log_out(world, number, shift.until_min * MINUTE_S)
            number += 1
    _schedule_breaks(world, scenario)
    for absence in scenario.absences:
        for leaver in range(round(absence.share * scenario.agents)):
            _log_out(world, leaver, absence.at_min * MINUTE_S, abrupt=absence.abrupt)
            if absence.length_min is not None:
                _log_in(world, leaver, (absence.at_min + absence.length_min) * MINUTE_S)


def _schedule_breaks(world: World, scenario: Scenario) -> None:
    if scenario.breaks is None:
        return
    interval_s, length_s = scenario.breaks.every_min * MINUTE_S, scenario.breaks.length_min * MINUTE_S
    for agent in range(scenario.agents):
        at = interval_s * (agent + 1) / scenario.agents
        while at < scenario.hours * 3600:
            _log_out(world, agent, at)
            _log_in(world, agent, at + length_s)
            at += interval_s


def _log_in(world: World, agent: int, at: float) -> None:
    def log_in(_: object) -> None:
        if agent not in world.agents:
            world.add_agent(agent, QUEUE, is_logged_in=False)
        world.log_in(at, agent)

    world.schedule(at, log_in, None)


def _log_out(world: World, agent: int, at: float, *, abrupt: bool = False) -> None:
    def log_out(_: object) -> None:
        (world.drop_agent if abrupt else world.log_out)(at, agent)

    world.schedule(at, log_out, None)
