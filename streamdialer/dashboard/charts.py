"""A campaign's last half hour as lines of an SVG chart (pure)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from streamdialer.dashboard.formatting import clock, number, percent
from streamdialer.operations.overview.views import CampaignOverview, TrendPoint

WIDTH: Final = 300
HEIGHT: Final = 80
Value = Callable[[TrendPoint], float]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity over time."""

    label: str
    points: str
    """`points` of an SVG polyline, in a box of WIDTH × HEIGHT."""
    newest: str


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """Lines that share their axes."""

    title: str
    lines: list[Line]
    top: str
    """The value at the upper edge; the lower edge is 0."""
    since: str
    until: str

    @property
    def description(self) -> str:
        """For screen readers."""
        newest = ", ".join(f"{line.label} {line.newest}" for line in self.lines)
        return f"{self.title}, {self.since} to {self.until} UTC, scale up to {self.top}; newest: {newest}"


def charts(campaign: CampaignOverview) -> list[Chart]:
    """Four charts; [] before there are two intervals."""
    points = campaign.trend
    if len(points) < 2:
        return []
    placed, answered = _per_minute("calls"), _per_minute("answered")
    calls = {"ringing": _value("ringing"), "connected": _value("connected")}
    agents = {"free": _value("free"), "talking": _value("busy"), "wrap-up": _value("wrapup")}
    return [
        _chart("Calls per minute", points, {"placed": placed, "answered": answered}),
        _chart("Calls in progress", points, calls),
        _chart("Agents", points, agents),
        _rates(campaign),
    ]


def _rates(campaign: CampaignOverview) -> Chart:
    cap = campaign.abandon_rate.cap if campaign.abandon_rate else None
    lines: dict[str, Value] = {
        "answered": lambda point: point.answered / point.calls if point.calls else 0.0,
        "abandoned": lambda point: point.abandoned / point.answered if point.answered else 0.0,
    }
    if cap is not None:
        lines["cap"] = lambda _: cap
    return _chart("Rates", campaign.trend, lines, lambda value: percent(min(value, 1.0), 0), is_share=True)


def _value(name: str) -> Value:
    return lambda point: float(getattr(point, name))


def _per_minute(name: str) -> Value:
    return lambda point: float(getattr(point, name)) * 60 / point.seconds


def _chart(
    title: str,
    points: Sequence[TrendPoint],
    lines: dict[str, Value],
    to_text: Callable[[float], str] = number,
    *,
    is_share: bool = False,
) -> Chart:
    values = {label: [value(point) for point in points] for label, value in lines.items()}
    largest = max(max(each) for each in values.values())
    top = min(max(largest, 0.01), 1.0) if is_share else max(largest, 1.0)
    first, last = points[0].at, points[-1].at
    xs = [(point.at - first) * WIDTH / max(1, last - first) for point in points]
    return Chart(
        title=title,
        lines=[
            Line(label=label, points=_polyline(xs, each, top), newest=to_text(each[-1]))
            for label, each in values.items()
        ],
        top=to_text(top),
        since=clock(first),
        until=clock(last),
    )


def _polyline(xs: list[float], values: list[float], top: float) -> str:
    return " ".join(
        f"{x:.1f},{HEIGHT * (1 - min(value / top, 1)):.1f}" for x, value in zip(xs, values, strict=True)
    )
