"""What each step of a call asks of Redis and over HTTP: counts, which a busy machine does not change."""

from __future__ import annotations

import pytest

from bench.counts.limits import complaints
from bench.counts.measures import count_all


@pytest.mark.long
async def test_no_step_of_a_call_asks_more_than_its_limit() -> None:
    said = complaints(await count_all())
    assert not said, "\n".join(said)
