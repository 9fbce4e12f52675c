"""How many calls to place now: pure functions of a snapshot."""

from streamdialer.pacing.decide import CampaignLoad, Decision, Limit, Snapshot, decide
from streamdialer.pacing.modes import agents_for, calls_per_agent, calls_wanted, level
from streamdialer.pacing.sharing import Claimant, share_agents

__all__ = [
    "CampaignLoad",
    "Claimant",
    "Decision",
    "Limit",
    "Snapshot",
    "agents_for",
    "calls_per_agent",
    "calls_wanted",
    "decide",
    "level",
    "share_agents",
]
