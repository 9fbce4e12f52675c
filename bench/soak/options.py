"""The options of a soak run, and the settings of its processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from streamdialer.simulation.child_environment import with_settings

RETRY_DELAY_LIFE_S: Final = 300.0
RING_LIFE_S: Final = 30.0
RESULT_TTL_S: Final = 5.0
CLEANUP_AFTER_S: Final = 1.0


class SoakOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`_s` are seconds of the wall clock."""

    campaigns: int = 10_000
    """The run ends when this many have been cleaned up."""
    contacts: int = 3
    """Per campaign."""
    concurrent: int = 50
    """Campaigns active at one time."""
    agents: int = 50
    queues: int = 10
    speed: float = 1000.0
    """Seconds of life per second."""
    seconds: float | None = None
    """Start no more campaigns after this time."""
    sample_interval_s: float = 3.0
    warm_up_s: float = 310.0
    """Earlier samples are not evaluated in a run at least three times as long: claim results live 300 s."""
    seed: int = 0


def child_environment(
    options: SoakOptions, urls: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, str]:
    """The environment of the processes; `urls` are settings by field name."""
    settings: dict[str, str | float] = {
        **urls,
        "log_level": "WARNING",
        "log_format": "text",
        "ring_timeout_s": RING_LIFE_S / options.speed,
        "uncertain_margin_s": 60,  # the simulated call centre runs on the same machine: its events may be late
        "originate_timeout_s": 10,
        "dial_interval_s": 1,
        "retry_interval_s": 2,
        "stats_interval_s": 2,
        "cleanup_after_s": CLEANUP_AFTER_S,
        "result_ttl_s": RESULT_TTL_S,
        "wakeup_result_ttl_s": RESULT_TTL_S,
        "agents_cache_ttl_s": 1,
        "shutdown_timeout_s": 8,
    }
    return with_settings(environ, settings)
