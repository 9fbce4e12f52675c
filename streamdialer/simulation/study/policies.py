"""All policies of the simulator: those of `pacing`, and three bounds that know what no dialer can know."""

from __future__ import annotations

from collections.abc import Mapping

from streamdialer.pacing.policies import POLICIES
from streamdialer.pacing.types import Policy
from streamdialer.simulation.study.oracle_agents import OracleAgents
from streamdialer.simulation.study.oracle_full import OracleFull
from streamdialer.simulation.study.oracle_rates import OracleRates

ALL_POLICIES: Mapping[str, type[Policy]] = {
    **POLICIES,
    "oracle_rates": OracleRates,
    "oracle_agents": OracleAgents,
    "oracle_full": OracleFull,
}
