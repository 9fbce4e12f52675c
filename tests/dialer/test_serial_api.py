"""Through a Dialer API that places calls one after the other, replies 500 to placed calls, and late."""

from __future__ import annotations

from streamdialer.config.settings import Settings
from streamdialer.operations.decisions import decisions, explain
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.config import CentreConfig, WorldConfig
from tests.support.dialer import run_dialer

SPEED = 100.0
LIST = WorldConfig(machine=0.05, busy=0.05, failed=0.05, talk_mean_s=60, wrap_up_mean_s=5)


async def test_nobody_is_called_again_after_an_answer(settings: Settings) -> None:
    world = build_world(
        agents=8,
        contacts=40,
        answer_rate=0.45,
        mode="power",
        pacing_ratio=3,
        max_retries=2,
        retry_delay_s=50,
        speed=SPEED,
        config=LIST,
    )
    async with run_dialer(
        settings,
        world,
        speed=SPEED,
        centre_config=CentreConfig(reply="serial"),
        uncertain_margin_s=0.6,
        originate_timeout_s=0.5,
        breaker_max_open_s=0.5,
        final_ttl_s=600,
    ) as dialer:
        audit = await dialer.until_all_are_final(within_s=60)
        assert audit.dialed_after_final == audit.calls_to_live_phones == audit.over_max_retries == 0, (
            audit.findings
        )
        assert int((await dialer.public())["total_calls"]) == audit.total.originates
        assert await dialer.dead.count() == 0
        records = await decisions(dialer.services.client, dialer.services.keys, "1", 200)
    noticed = [record for record in records if "serial_api" in (record.notices or {})]
    assert noticed
    said = " ".join(explain("1", "active", noticed[:1], noticed[0].at or 0))
    assert "the Dialer API places calls one after the other" in said
    assert "STREAMDIALER_ORIGINATE=asterisk" in said
