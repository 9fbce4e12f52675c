"""Which ringing calls are unwanted by now: no agent would be free for the person who answers.

A call was placed within the risk limit. Since then agents may have left, talks may last longer, or more people may have
answered than were expected. A call whose own risk is RISK_FACTOR times the limit is taken back, but only after the time
that the law lets it ring.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from streamdialer.pacing.risk import AgentBalance, Group

RISK_FACTOR: Final = 7.0
"""Taking a call back costs a likely answer, so a little more risk than a new call may carry is no reason."""
MAX_AT_ONCE: Final = 50


class RungLong(msgspec.Struct, frozen=True):
    """Calls of one campaign that have rung equally long, and long enough to be taken back."""

    campaign: str
    group: Group
    """How many they are, and the chance of each to be answered within the horizon."""
    risk_limit: float


def unwanted_calls(
    available: int, coming: Sequence[Group], answering: Sequence[Group], candidates: Sequence[RungLong]
) -> dict[str, int]:
    """How many calls of each campaign to take back, in the order of the candidates.

    The risk of a call is that of one more call if it did not ring itself. `answering` are all ringing calls, with the
    groups of the candidates among them. All chances are for the nearest horizon: a call that has rung long is answered
    soon, if at all.
    """
    left, found = list(answering), dict[str, int]()
    for each in candidates:
        limit, (count, chance) = RISK_FACTOR * each.risk_limit, each.group
        index = left.index(each.group)
        while count and sum(found.values()) < MAX_AT_ONCE:
            others = [*left[:index], (count - 1, chance), *left[index + 1 :]]
            if AgentBalance(available, coming, others).risk() <= limit:
                break
            left, count = others, count - 1
            found[each.campaign] = found.get(each.campaign, 0) + 1
    return found
