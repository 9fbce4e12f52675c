"""What the claims of a dial tick came to."""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from streamdialer.consumers.dialing.decision import DialDecision
from streamdialer.consumers.dialing.inputs import DialInputs, Outdated
from streamdialer.ledger.types import ClaimResult

OUTDATED_BY_REASON: Final[dict[str, Outdated]] = {
    "queue_changed": "queue",
    "trunk_changed": "trunk",
    "not_rebuilt": "not_rebuilt",
}
"""Reason of a claim that placed nothing -> the input that it found to be out of date."""
_SEEN_BY_EACH_CLAIM: Final = frozenset({"needs_verification", "agent_not_free"})
"""Contacts that stay in the line when they are skipped: each claim of a tick counts them."""


class DialOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The newest try of a dial tick, with what all its tries claimed."""

    inputs: DialInputs | None = None
    decision: DialDecision | None = None
    claimed: ClaimResult | None = None
    outdated: Outdated | None = None
    """The input that must be refreshed before the next try."""
    is_throttled: bool = False
    """Adaptive pacing decided for the campaign a moment ago, or is about to."""

    @property
    def is_idle(self) -> bool:
        """Whether it holds until a contact becomes ready: nothing forbade calls, none is live, nothing is out of date.

        Where adaptive pacing decided, it must decide again: it learns from its queue.
        """
        claimed = self.claimed
        if claimed is None or self.outdated or (self.decision and self.decision.adaptive):
            return False
        return not (claimed.reason or claimed.ready or claimed.live)


def merge_claims(before: ClaimResult | None, claimed: ClaimResult) -> ClaimResult:
    """Two claims of one tick as one; a refusal after contacts were dialed changes nothing."""
    if before is None:
        return claimed
    if claimed.reason is not None and before.dialed:
        return before
    skipped = {
        name: count for name, count in (before.skipped or {}).items() if name not in _SEEN_BY_EACH_CLAIM
    }
    return msgspec.structs.replace(
        claimed,
        dialed=before.dialed + claimed.dialed,
        steps=before.steps or claimed.steps,
        skipped=dict(Counter(skipped) + Counter(claimed.skipped or {})) or None,
        why={**(claimed.why or {}), **(before.why or {})} or None,
        blocked=before.blocked + claimed.blocked,
        recheck=before.recheck or claimed.recheck,
    )
