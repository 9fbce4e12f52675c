"""Everything that can decide in the simulator: the policies, and three bounds, told what nobody can know."""

from __future__ import annotations

from collections.abc import Mapping

from streamdialer.callcentre.knows_all import KnowsAll
from streamdialer.callcentre.knows_ends import KnowsEnds
from streamdialer.callcentre.knows_odds import KnowsOdds
from streamdialer.pacing.policies import POLICIES
from streamdialer.pacing.policy import Policy

CONTENDERS: Mapping[str, type[Policy]] = {
    **POLICIES,
    "knows_odds": KnowsOdds,
    "knows_ends": KnowsEnds,
    "knows_all": KnowsAll,
}
