"""A cache forgets what is older than its TTL."""

from __future__ import annotations

import pytest

from streamdialer.consumers.ttl_cache import TTLCache


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("streamdialer.consumers.ttl_cache.monotonic", lambda: now[0])
    return now


def test_what_is_not_put_again_is_dropped(clock: list[float]) -> None:
    memory: TTLCache[int] = TTLCache(ttl_s=60)
    for second in range(10_000):
        clock[0] = float(second)
        memory.put(f"campaign {second}", second)
        memory.put("the one that goes on", second)
    assert len(memory) == 62
    assert memory.get("campaign 9939") == 9939
    assert memory.get("campaign 9938") is None
    assert memory.get("the one that goes on") == 9999


def test_what_is_too_old_for_the_purpose_is_not_given(clock: list[float]) -> None:
    memory: TTLCache[str] = TTLCache(ttl_s=60)
    memory.put("7", "sales")
    clock[0] = 6.0
    assert memory.get("7", younger_than_s=5) is None
    assert memory.get("7", younger_than_s=10) == "sales"
    memory.pop("7")
    memory.pop("7")
    assert memory.get("7") is None
