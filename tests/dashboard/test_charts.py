"""The dashboard's charts, and how it writes numbers."""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from streamdialer.dashboard.charts import HEIGHT, WIDTH, charts
from streamdialer.dashboard.formatting import Formatting
from streamdialer.dashboard.language import UTC
from streamdialer.operations.overview.views import AbandonRate, Agents, CampaignOverview, TrendPoint

ENGLISH = Formatting("en", UTC)


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
    calls, *_ = charts(
        campaign(interval(1, calls=5), interval(2, calls=10), interval(3, answered=4)), ENGLISH
    )
    placed, answered = calls.lines
    assert placed.points == f"0.0,{HEIGHT / 2} 150.0,0.0 {WIDTH}.0,{HEIGHT}.0"
    assert (calls.top, placed.newest, answered.newest) == ("10", "0", "4")
    assert calls.description == ("Calls per minute, scale up to 10; newest: placed 0, answered 4")


def test_the_abandon_rate_is_drawn_beside_its_cap() -> None:
    rates = charts(
        campaign(interval(1, calls=10, answered=5), interval(2, calls=10, answered=4, abandoned=1)), ENGLISH
    )[3]
    assert {line.label: line.newest for line in rates.lines} == {
        "answered": "40\N{NO-BREAK SPACE}%",
        "abandoned": "25\N{NO-BREAK SPACE}%",
        "cap": "3\N{NO-BREAK SPACE}%",
    }


def test_one_interval_is_no_line() -> None:
    assert charts(campaign(interval(1)), ENGLISH) == []
    assert len(charts(campaign(interval(1), interval(2)), ENGLISH)) == 4


def plain(text: str) -> str:
    return re.sub("<time[^>]*>|</time>", "", text).replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("method", "values", "english", "spanish"),
    [
        ("number", (1234,), "1,234", "1 234"),
        ("number", (None,), "–", "–"),
        ("number", (1234.56, 1), "1,234.6", "1 234,6"),
        ("percent", (0.0316,), "3.2 %", "3,2 %"),
        ("percent", (None,), "–", "–"),
        ("age", (-3,), "0 ms", "0 ms"),
        ("age", (0.05,), "50 ms", "50 ms"),
        ("age", (61,), "61 s", "61 s"),
        ("age", (600,), "10 min", "10 min"),
        ("age", (9000,), "2.5 h", "2,5 h"),
        ("age", (4 * 86_400,), "4 days", "4 días"),
        ("age", (None,), "–", "–"),
        ("size", (84_000_000,), "84 MB", "84 MB"),
        ("clock", (3_723_000,), "01:02:03", "19:02:03"),
        ("clock", (None,), "–", "–"),
        ("when", (3_723_000, 0), "01:02", "19:02"),
        ("when", (90_123_000, 0), "2 Jan 01:02", "1 ene 19:02"),
        ("when", (None, 0), "–", "–"),
        ("with_code", ("do `streamdialer tick` <b>",), "do <code>streamdialer tick</code> &lt;b&gt;", None),
        ("disposition", ("no_answer",), "no answer", "sin respuesta"),
        ("waits_for", ("some_new_code",), "some new code", "some new code"),
        ("cause", ("q850:17",), "q850:17 user busy", "q850:17 usuario ocupado"),
    ],
)
def test_numbers_and_times_are_written_for_people(
    method: str, values: tuple[Any, ...], english: str, spanish: str | None
) -> None:
    assert plain(getattr(ENGLISH, method)(*values)) == english
    in_mexico = Formatting("es", ZoneInfo("America/Mexico_City"))
    assert plain(getattr(in_mexico, method)(*values)) == (spanish or english)


def test_a_time_names_its_instant_for_programs() -> None:
    shown = Formatting("es", ZoneInfo("America/Mexico_City")).clock(3_723_000)
    assert shown == '<time datetime="1970-01-01T01:02:03+00:00">19:02:03</time>'


@pytest.mark.parametrize("text", [None, "", "x", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+00:00"])
def test_a_time_that_another_program_wrote_and_no_page_can_show_is_none(text: str | None) -> None:
    assert ENGLISH.iso(text) is None
    assert ENGLISH.iso("2026-11-27T00:00:00+00:00") == 1_795_737_600_000
