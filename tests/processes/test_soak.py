"""A short soak, and the evaluation: it can tell growth from noise."""

from __future__ import annotations

import random

import msgspec
import pytest

from bench.soak.measure import MB, Sample, evaluated_samples, trend_of
from bench.soak.options import SoakOptions
from bench.soak.report import describe
from bench.soak.run import run_soak
from streamdialer.broker.keys import Keys

KEYS = Keys()
FIXED = {KEYS.server, KEYS.event_watermark, KEYS.api}
"""Their fields have fixed names, not those of campaigns."""


async def test_hundreds_of_campaigns_come_and_go_and_leave_nothing() -> None:
    options = SoakOptions(
        campaigns=200, contacts=2, concurrent=40, agents=30, queues=5, sample_interval_s=0.5
    )
    report = await run_soak(options, lambda sample: None)
    assert report.campaigns == 200
    assert report.calls > 400
    assert {key: left for key, left in report.shared.items() if left and key not in FIXED} == {}
    assert report.failures == [], "\n".join(describe(report))
    most = max(sample.shared_per_campaign for sample in report.history if sample.campaigns)
    assert most < 40, "entries in shared structures per active campaign"


def sample(at_s: float, campaigns: int, **figures: int) -> Sample:
    flat = Sample(
        at_s=at_s,
        campaigns=campaigns,
        redis_dataset=10 * MB,
        redis_used=15 * MB,
        keys_lasting=200,
        keys_expiring=9000,
        shared=300,
        shared_per_campaign=6.0,
        replica_rss=80 * MB,
        producer_rss=60 * MB,
    )
    return msgspec.structs.replace(flat, **figures)


def test_noise_is_flat_and_a_steady_growth_is_not() -> None:
    draw = random.Random(1)
    noise = [
        sample(at, 10 * at, replica_rss=round(draw.gauss(80, 2) * MB), keys_lasting=draw.randint(150, 250))
        for at in range(200)
    ]
    assert trend_of(noise, "replica_rss").is_flat
    assert trend_of(noise, "keys_lasting").is_flat
    leak = [sample(at, 10 * at, keys_lasting=200 + at // 2) for at in range(200)]
    assert not trend_of(leak, "keys_lasting").is_flat
    assert trend_of(leak, "keys_lasting").per_1000_campaigns == pytest.approx(50, rel=0.05)


def test_the_warm_up_is_not_evaluated_unless_the_run_is_short() -> None:
    long = [sample(float(at), at) for at in range(0, 1000, 10)]
    assert evaluated_samples(long, 310)[0].at_s == 310
    short = [sample(float(at), at) for at in range(30)]
    assert evaluated_samples(short, 310)[0].at_s == 10
