"""A scenario of the simulator: a TOML file with the calls, the agents and their hours, the trunk and the campaigns.

Minutes count from the start of the simulated day, fields in `_s` are seconds, rates are shares from 0 to 1.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from streamdialer.errors import SettingsError
from streamdialer.simulation.world.config import Probability, WorldConfig

Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
MINUTE_S = 60.0


class ScenarioSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Part of a scenario; an unknown field is an error."""


class Calls(ScenarioSection, frozen=True):
    human: Probability = 0.30
    machine: Probability = 0.25
    busy: Probability = 0.05
    failed: Probability = 0.05
    """The rest ring out."""
    setup_s: tuple[NotNegative, NotNegative] = (0.5, 1.5)
    answer_mean_s: Positive = 12.0
    """From ringing to a person's answer; gamma."""
    answer_shape: Positive = 4.0
    machine_answer_s: tuple[NotNegative, NotNegative] = (7.0, 9.0)
    voicemail_hold_s: tuple[NotNegative, NotNegative] = (5.0, 7.0)
    """From a machine's answer to the end of the call."""
    ring_out_s: Positive = 26.0
    """From placing a call until it is given up."""
    patience_s: NotNegative = 2.0
    """How long a person who answered waits for an agent."""
    answer_curve: tuple[tuple[NotNegative, NotNegative], ...] = ()
    """[minute, factor on `human`], with straight lines between; two points at one minute are a step."""


class AgentWork(ScenarioSection, frozen=True):
    """How long agents talk and wrap up; log-normal."""

    talk_mean_s: Positive = 120.0
    talk_cv: NotNegative = 1.0
    """Standard deviation over mean."""
    wrap_up_mean_s: NotNegative = 20.0
    wrap_up_cv: NotNegative = 0.8


class Shift(ScenarioSection, frozen=True):
    """Agents who work only part of the day, in addition to `agents`; they finish their call before they leave."""

    agents: Count
    from_min: NotNegative
    until_min: Positive


class Breaks(ScenarioSection, frozen=True):
    """Breaks of all agents, evenly staggered; agents finish their call first."""

    every_min: Positive
    length_min: Positive


class Absence(ScenarioSection, frozen=True):
    """Some agents leave at the same time."""

    at_min: NotNegative
    share: Share
    """Of `agents`."""
    length_min: Positive | None = None
    """None: until the end of the day."""
    abrupt: bool = True
    """They leave at once and their calls end; otherwise they finish their call first."""


class Trunk(ScenarioSection, frozen=True):
    lines_per_agent: NotNegative = 5.0
    extra_lines: Annotated[int, msgspec.Meta(ge=0)] = 10
    """Calls at the same time: lines_per_agent × agents + extra_lines."""
    busy_min: tuple[tuple[NotNegative, NotNegative], ...] = ()
    """[from, until] minutes in which every call is busy."""


class CampaignPart(ScenarioSection, frozen=True):
    """One campaign of the queue."""

    weight: Positive = 1.0
    ratio: Positive = 1.0
    cap: Share = 0.03
    """Most abandoned calls per call answered by a person."""
    contacts: Count | None = None
    """Contacts to call, once each; None: an endless list."""
    max_concurrent_calls: Count = 1_000_000


class Scenario(ScenarioSection, frozen=True):
    """One simulated day on one queue."""

    title: str = ""
    hours: Positive = 4.0
    agents: Annotated[int, msgspec.Meta(ge=0)] = 20
    event_delay_s: NotNegative = 0.0
    """How late events reach the dialer."""
    calls: Calls = Calls()
    work: AgentWork = AgentWork()
    trunk: Trunk = Trunk()
    shifts: tuple[Shift, ...] = ()
    breaks: Breaks | None = None
    absences: tuple[Absence, ...] = ()
    campaigns: Annotated[tuple[CampaignPart, ...], msgspec.Meta(min_length=1)] = (CampaignPart(),)

    @property
    def max_agents(self) -> int:
        """Agents if all shifts work at the same time."""
        return self.agents + sum(shift.agents for shift in self.shifts)

    @property
    def lines(self) -> int:
        return int(self.trunk.lines_per_agent * self.max_agents) + self.trunk.extra_lines

    def world_config(self) -> WorldConfig:
        """How people and phones behave; SettingsError when the outcomes add up to more than 1."""
        calls, work = msgspec.structs.asdict(self.calls), msgspec.structs.asdict(self.work)
        del calls["ring_out_s"]
        calls["answer_curve"] = tuple(
            (minute * MINUTE_S, factor) for minute, factor in self.calls.answer_curve
        )
        trunk_busy = tuple((begins * MINUTE_S, ends * MINUTE_S) for begins, ends in self.trunk.busy_min)
        return WorldConfig(**calls, **work, lines=self.lines, trunk_busy=trunk_busy)

    def check(self) -> None:
        """Raises SettingsError for errors that no single field shows: sums, orders, a day without agents."""
        self.world_config()
        if not self.max_agents:
            raise SettingsError("agents: got 0 and no shifts, takes at least one agent or shift")
        for field in ("setup_s", "machine_answer_s", "voicemail_hold_s"):
            low, high = getattr(self.calls, field)
            if low > high:
                raise SettingsError(f"calls.{field}: got [{low:g}, {high:g}], takes the smaller number first")
        minutes = [minute for minute, _ in self.calls.answer_curve]
        if minutes != sorted(minutes):
            raise SettingsError("calls.answer_curve: minutes must not go backwards")
        for begins, ends in self.trunk.busy_min:
            if begins >= ends:
                raise SettingsError(f"trunk.busy_min: got [{begins:g}, {ends:g}], takes [from, until]")
        for shift in self.shifts:
            if shift.from_min >= shift.until_min:
                raise SettingsError(
                    f"shifts: from_min {shift.from_min:g} is not before until_min {shift.until_min:g}"
                )
        if self.breaks is not None and self.breaks.length_min >= self.breaks.every_min:
            raise SettingsError(
                f"breaks.length_min: got {self.breaks.length_min:g}, takes less than "
                f"every_min {self.breaks.every_min:g}"
            )
