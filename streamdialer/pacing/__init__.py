"""How many calls to place now: pure functions of a snapshot."""

from streamdialer.pacing.adaptive import AdaptiveDecision, AdaptivePolicy, decide_adaptively
from streamdialer.pacing.decide import CampaignLoad, Decision, Limit, Snapshot, decide
from streamdialer.pacing.dial_modes import agents_for, calls_per_agent, calls_wanted, level
from streamdialer.pacing.learning import QueueLearning
from streamdialer.pacing.sharing import ClaimShare, share_agents

__all__ = [
    "AdaptiveDecision",
    "AdaptivePolicy",
    "CampaignLoad",
    "ClaimShare",
    "Decision",
    "Limit",
    "QueueLearning",
    "Snapshot",
    "agents_for",
    "calls_per_agent",
    "calls_wanted",
    "decide",
    "decide_adaptively",
    "level",
    "share_agents",
]
