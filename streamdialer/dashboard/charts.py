"""A campaign's last half hour as lines, ready to be drawn (pure)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from streamdialer.dashboard.formatting import clock, number, percent
from streamdialer.operations.overview import CampaignOverview, TrendPoint

WIDTH: Final = 300
HEIGHT: Final = 80
Value = Callable[[TrendPoint], float]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity over time."""

    label: str
    points: str
    """Of an SVG polyline, in a box of WIDTH × HEIGHT."""
    newest: str


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """Lines that share their axes."""

    title: str
    lines: list[Line]
    top: str
    """The value at the upper edge; 0 is at the lower."""
    since: str
    until: str

    @property
    def describe(self) -> str:
        newest = ", ".join(f"{line.label} {line.newest}" for line in self.lines)
        return f"{self.title}, {self.since} to {self.until} UTC, at most {self.top}; at the end {newest}"


def charts(campaign: CampaignOverview) -> list[Chart]:
    """None before there are two intervals."""
    course = campaign.course
    if len(course) < 2:
        return []
    return [
        _chart(
            "Calls a minute", course, {"placed": _per_minute("calls"), "answered": _per_minute("answered")}
        ),
        _chart("Calls up", course, {"ringing": _value("ringing"), "connected": _value("connected")}),
        _chart(
            "Agents", course, {"free": _value("free"), "talking": _value("busy"), "wrap-up": _value("wrapup")}
        ),
        _rates(campaign),
    ]


def _rates(campaign: CampaignOverview) -> Chart:
    cap = campaign.abandoning.cap if campaign.abandoning else None
    lines: dict[str, Value] = {
        "answered": lambda one: one.answered / one.calls if one.calls else 0.0,
        "abandoned": lambda one: one.abandoned / one.answered if one.answered else 0.0,
    }
    if cap is not None:
        lines["cap"] = lambda _: cap
    return _chart("Rates", campaign.course, lines, lambda value: percent(min(value, 1.0), 0), whole=False)


def _value(name: str) -> Value:
    return lambda one: float(getattr(one, name))


def _per_minute(name: str) -> Value:
    return lambda one: float(getattr(one, name)) * 60 / one.seconds


def _chart(
    title: str,
    course: Sequence[TrendPoint],
    lines: dict[str, Value],
    shown: Callable[[float], str] = number,
    *,
    whole: bool = True,
) -> Chart:
    values = {label: [value(one) for one in course] for label, value in lines.items()}
    largest = max(max(each) for each in values.values())
    top = max(largest, 1.0) if whole else min(max(largest, 0.01), 1.0)
    first, last = course[0].at, course[-1].at
    return Chart(
        title=title,
        lines=[
            Line(label=label, points=_points(course, each, first, last, top), newest=shown(each[-1]))
            for label, each in values.items()
        ],
        top=shown(top),
        since=clock(first),
        until=clock(last),
    )


def _points(course: Sequence[TrendPoint], values: list[float], first: int, last: int, top: float) -> str:
    return " ".join(
        f"{(one.at - first) * WIDTH / max(1, last - first):.1f},{HEIGHT * (1 - min(value / top, 1)):.1f}"
        for one, value in zip(course, values, strict=True)
    )
