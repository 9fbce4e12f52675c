"""The scenario of `simulate --from`: fitted to the campaign's own calls."""

from __future__ import annotations

from typing import Any

import msgspec

from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.queue_pacing import read_pacing
from streamdialer.errors import CannotBeDone
from streamdialer.ledger.history import PastCall, past_calls
from streamdialer.operations.session import open_client
from streamdialer.pacing.learning import QueueLearning
from streamdialer.simulation.study.calibration import Fit, fit


class FittedScenario(msgspec.Struct, frozen=True, kw_only=True):
    """The fitted scenario, and the policy that dials the campaign now."""

    fit: Fit
    policy: str


async def fit_campaign(settings: Settings, campaign: str, agents: int | None) -> FittedScenario:
    """Reads the campaign's calls from Redis and fits a scenario to them.

    `agents` replaces the number of agents of its queue. Raises Unreachable, and CannotBeDone for a campaign that was
    never dialed here or has too few calls on record.
    """
    async with open_client(settings) as (client, keys):
        queue = str(await client.hget(keys.directory, campaign) or "")
        raw: Any = await client.hget(keys.queue_pacing(queue), campaign)
        if not raw:
            raise CannotBeDone(f"campaign {campaign}: was never dialed here, or has been cleaned up")
        pacing = read_pacing(raw)
        calls = await past_calls(client, keys, campaign)
        pipe = client.pipeline(transaction=True)  # agents move between the two sets
        pipe.zcard(keys.queue_free(queue))
        pipe.zcard(keys.queue_busy(queue))
        queue_agents = sum(await pipe.execute())
        learnt: Any = await client.hget(keys.queue_learning(queue), "learning")
    scale = settings.pacing_time_scale
    if scale != 1:
        calls = [_scale(call, scale) for call in calls]
    learning = msgspec.json.decode(learnt, type=QueueLearning) if learnt else None
    fitted = fit(
        calls,
        agents=agents or queue_agents,
        title=f"campaign {campaign}",
        ratio=pacing.ratio,
        cap=pacing.cap,
        wrapup=learning.wrapup if learning else None,
    )
    policy = "adaptive" if pacing.is_adaptive else f"fixed:mode={pacing.mode},ratio={pacing.ratio:g}"
    return FittedScenario(fit=fitted, policy="fixed" if pacing.mode in ("preview", "agentless") else policy)


def _scale(call: PastCall, scale: float) -> PastCall:
    """The same call in seconds of life."""
    rang_s, talked_s = (value and value * scale for value in (call.rang_s, call.talked_s))
    return PastCall(outcome=call.outcome, rang_s=rang_s, talked_s=talked_s)
