"""What a soak run takes, and the settings its processes get."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

import streamdialer
from streamdialer.config.settings import NAMES

RETRY_DELAY_LIFE_S: Final = 300.0
RING_LIFE_S: Final = 30.0
RESULT_TTL_S: Final = 5.0
CLEANUP_AFTER_S: Final = 1.0


class SoakOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`_s` are seconds of the wall clock."""

    campaigns: int = 10_000
    """Ends after so many have been cleaned up."""
    contacts: int = 3
    """Per campaign."""
    at_once: int = 50
    """Campaigns alive at one moment."""
    agents: int = 50
    queues: int = 10
    speed: float = 1000.0
    """Seconds of life per second."""
    seconds: float | None = None
    """Start no more campaigns after this."""
    sample_interval_s: float = 3.0
    warm_up_s: float = 310.0
    """Samples taken earlier are not judged, in a run at least three times as long: answers of claims live 300 s."""
    seed: int = 0


def child_environment(
    options: SoakOptions, urls: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, str]:
    """`environ` with nothing but the soak's settings for streamdialer; `urls` are settings by field name."""
    settings: dict[str, str | float] = {
        **urls,
        "log_level": "WARNING",
        "log_format": "text",
        "ring_timeout_s": RING_LIFE_S / options.speed,
        "uncertain_margin_s": 60,  # the simulated centre shares the machine: its news may be late
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
    ours = set(NAMES.values())
    environment = {name: value for name, value in environ.items() if name not in ours}
    root = str(Path(streamdialer.__file__).resolve().parents[1])  # the children run elsewhere
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environ.get("PYTHONPATH")]))
    return environment | {NAMES[field]: str(value) for field, value in settings.items()}
