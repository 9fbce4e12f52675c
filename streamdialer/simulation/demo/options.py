"""The options of a demo, its simulated world, and the settings of its processes.

Simulated time passes `speed` times faster. Delays of the machine do not shrink with it: what guards against those
(leases, margins, shutdown) keeps real seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from streamdialer.model import DialMode, Pacing
from streamdialer.simulation.child_environment import with_settings
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.config import WorldConfig
from streamdialer.simulation.world.engine import World

MAX_RETRIES: Final = 3
RETRY_DELAY_S: Final = 150.0
"""Simulated; so short that a demo sees its retries."""
RATIOS: Final[dict[DialMode, float]] = {"preview": 1.0, "progressive": 1.0, "predictive": 1.2, "power": 3.0}
LIFE: Final = WorldConfig(talk_mean_s=60.0, talk_cv=0.6, wrap_up_mean_s=12.0)
"""Shorter talks than a real list's: the default demo is over in about a minute."""
RING_S: Final = 30.0
"""Simulated."""
UNCERTAIN_MARGIN_S: Final = 5.0
CLAIM_MIN_IDLE_S: Final = 2.0
"""Other replicas take over a killed replica's work after this."""
SHUTDOWN_TIMEOUT_S: Final = 8.0
SHORTEST_INTERVAL_S: Final = 0.25


class DemoOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `streamdialer demo` takes."""

    mode: DialMode = "predictive"
    """Not preview: there an agent requests each call, and the demo's agents do not."""
    pacing: Pacing = "fixed"
    """Of predictive campaigns."""
    agents: int = 50
    contacts: int = 1000
    campaigns: int = 2
    answer_rate: float = 0.3
    speed: float = 30.0
    """Simulated seconds per second."""
    seconds: float | None = None
    """Ends after this; None: when all contacts are final."""
    replicas: int = 2
    kill_every_s: float | None = None
    seed: int = 0
    dashboard_port: int | None = None
    """On loopback; None: without the dashboard."""

    @property
    def ring_timeout_s(self) -> float:
        return RING_S / self.speed

    @property
    def retry_delay_s(self) -> float:
        return RETRY_DELAY_S / self.speed


def demo_world(options: DemoOptions) -> World:
    return build_world(
        agents=options.agents,
        contacts=options.contacts,
        campaigns=options.campaigns,
        mode=options.mode,
        pacing=options.pacing,
        answer_rate=options.answer_rate,
        seed=options.seed,
        speed=options.speed,
        pacing_ratio=RATIOS[options.mode],
        max_concurrent_calls=max(50, 8 * options.agents),
        max_retries=MAX_RETRIES,
        retry_delay_s=RETRY_DELAY_S,
        config=LIFE,
    )


def child_environment(
    options: DemoOptions, urls: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, str]:
    """`environ` without the user's settings, with the demo's; `urls` are settings by field name."""
    speed = options.speed

    def scaled(seconds: float, least: float = SHORTEST_INTERVAL_S) -> float:
        return max(least, seconds / speed)

    settings: dict[str, str | float] = {
        **urls,
        "log_level": "INFO",
        "log_format": "text",
        "pacing_time_scale": speed,
        "ring_timeout_s": options.ring_timeout_s,
        "uncertain_margin_s": UNCERTAIN_MARGIN_S,
        "max_call_duration_s": scaled(7200, 60),
        "originate_timeout_s": 20 + options.ring_timeout_s,
        "dial_interval_s": scaled(10),
        "retry_interval_s": scaled(300, 1),
        "stats_interval_s": scaled(60, 1),
        "sample_interval_s": scaled(60, 1),
        "agents_cache_ttl_s": 0.25,
        "campaign_cache_ttl_s": 2,
        "refill_interval_s": 1,
        "reservation_lease_s": 10,
        "final_ttl_s": 86_400,  # the ledger stays complete for the audit at the end
        "claim_min_idle_s": CLAIM_MIN_IDLE_S,
        "idle_consumer_ttl_s": 30,
        "shutdown_timeout_s": SHUTDOWN_TIMEOUT_S,
    }
    return with_settings(environ, settings)
