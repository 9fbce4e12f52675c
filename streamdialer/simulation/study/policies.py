"""Everything that can decide in the simulator: the policies, and three bounds, told what nobody can know."""

from __future__ import annotations

from collections.abc import Mapping

from streamdialer.pacing.policies import POLICIES
from streamdialer.pacing.types import Policy
from streamdialer.simulation.study.oracle_agents import KnowsEnds
from streamdialer.simulation.study.oracle_full import KnowsAll
from streamdialer.simulation.study.oracle_rates import KnowsOdds

CONTENDERS: Mapping[str, type[Policy]] = {
    **POLICIES,
    "knows_odds": KnowsOdds,
    "knows_ends": KnowsEnds,
    "knows_all": KnowsAll,
}
