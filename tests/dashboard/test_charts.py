"""The dashboard's charts, and how it writes numbers."""

from __future__ import annotations

import pytest

from streamdialer.dashboard.charts import HEIGHT, WIDTH, charts
from streamdialer.dashboard.formatting import age, clock, number, percent, size, when, with_code
from streamdialer.operations.overview.views import AbandonRate, Agents, CampaignOverview, TrendPoint


def interval(minute: int, **counts: int) -> TrendPoint:
    nothing = dict.fromkeys(
        ("calls", "answered", "abandoned", "free", "busy", "wrapup", "ringing", "connected"), 0
    )
    return TrendPoint(at=minute * 60_000, seconds=60, **{**nothing, **counts})


def campaign(*points: TrendPoint) -> CampaignOverview:
    return CampaignOverview(
        campaign_id=1,
        name="",
        mode="power",
        status="active",
        queue="sales",
        is_dialing=True,
        reason=None,
        why="",
        agents=Agents(free=0, busy=0, wrapup=0, away=0),
        utilisation=None,
        reserved=0,
        ringing=0,
        connected=0,
        orphaned=0,
        silent=0,
        unconfirmed=0,
        refused_updates=None,
        calls=0,
        answered=0,
        abandoned=0,
        answer_rate=None,
        abandon_rate=AbandonRate(answered_by_person=0, abandoned=0, cap=0.03, window_h=24, rate=0.0),
        ready=0,
        deferred=0,
        previewing=0,
        final=0,
        pending=None,
        forecast_end=None,
        trend=list(points),
    )


def test_a_line_runs_from_edge_to_edge_and_to_the_top_at_its_largest() -> None:
    calls, *_ = charts(campaign(interval(1, calls=5), interval(2, calls=10), interval(3, answered=4)))
    placed, answered = calls.lines
    assert placed.points == f"0.0,{HEIGHT / 2} 150.0,0.0 {WIDTH}.0,{HEIGHT}.0"
    assert (calls.top, placed.newest, answered.newest) == ("10", "0", "4")
    assert calls.description == (
        "Calls per minute, 00:01:00 to 00:03:00 UTC, scale up to 10; newest: placed 0, answered 4"
    )


def test_the_abandon_rate_is_drawn_beside_its_cap() -> None:
    rates = charts(
        campaign(interval(1, calls=10, answered=5), interval(2, calls=10, answered=4, abandoned=1))
    )[3]
    assert {line.label: line.newest for line in rates.lines} == {
        "answered": "40 %",
        "abandoned": "25 %",
        "cap": "3 %",
    }


def test_one_interval_is_no_line() -> None:
    assert charts(campaign(interval(1))) == []
    assert len(charts(campaign(interval(1), interval(2)))) == 4


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (number(1234), "1,234"),
        (number(None), "–"),
        (number(1.25, 1), "1.2"),
        (percent(0.0316), "3.2 %"),
        (percent(None), "–"),
        (age(0.05), "50 ms"),
        (age(61), "61 s"),
        (age(600), "10 min"),
        (age(9000), "2.5 h"),
        (age(4 * 86_400), "4 days"),
        (age(None), "–"),
        (size(84_000_000), "84 MB"),
        (clock(3_723_000), "01:02:03"),
        (clock(None), "–"),
        (when(3_723_000, 0), "01:02"),
        (when(90_123_000, 0), "02 Jan 01:02"),
        (when(None, 0), "–"),
        (with_code("do `streamdialer tick` <b>"), "do <code>streamdialer tick</code> &lt;b&gt;"),
    ],
)
def test_numbers_are_written_for_people(shown: str, text: str) -> None:
    assert shown == text
