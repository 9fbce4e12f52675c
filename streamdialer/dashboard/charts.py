"""A campaign's last half hour as lines of an SVG chart (pure)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from streamdialer.dashboard.formatting import Formatting
from streamdialer.operations.overview.views import CampaignOverview, TrendPoint
from streamdialer.operations.phrase import Phrase

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
    since: int
    """ms, as the next."""
    until: int
    description: str
    """For screen readers."""


def charts(campaign: CampaignOverview, words: Formatting) -> list[Chart]:
    """Four charts; [] before there are two intervals."""
    points = campaign.trend
    if len(points) < 2:
        return []
    placed, answered = _per_minute("calls"), _per_minute("answered")
    calls = {Phrase("ringing"): _value("ringing"), Phrase("connected"): _value("connected")}
    agents = {
        Phrase("free"): _value("free"),
        Phrase("talking"): _value("busy"),
        Phrase("wrap-up"): _value("wrapup"),
    }
    per_minute = {Phrase("placed"): placed, Phrase("answered"): answered}
    return [
        _chart(words, Phrase("Calls per minute"), points, per_minute),
        _chart(words, Phrase("Calls in progress"), points, calls),
        _chart(words, Phrase("Agents"), points, agents),
        _rates(campaign, words),
    ]


def _rates(campaign: CampaignOverview, words: Formatting) -> Chart:
    cap = campaign.abandon_rate.cap if campaign.abandon_rate else None
    lines: dict[Phrase, Value] = {
        Phrase("answered"): lambda point: point.answered / point.calls if point.calls else 0.0,
        Phrase("abandoned"): lambda point: point.abandoned / point.answered if point.answered else 0.0,
    }
    if cap is not None:
        lines[Phrase("cap")] = lambda _: cap
    return _chart(words, Phrase("Rates"), campaign.trend, lines, is_share=True)


def _value(name: str) -> Value:
    return lambda point: float(getattr(point, name))


def _per_minute(name: str) -> Value:
    return lambda point: float(getattr(point, name)) * 60 / point.seconds


def _chart(
    words: Formatting,
    title: Phrase,
    points: Sequence[TrendPoint],
    lines: dict[Phrase, Value],
    *,
    is_share: bool = False,
) -> Chart:
    def to_text(value: float) -> str:
        return words.percent(min(value, 1.0), 0) if is_share else words.number(value)

    values = {words.words(label): [value(point) for point in points] for label, value in lines.items()}
    largest = max(max(each) for each in values.values())
    top = min(max(largest, 0.01), 1.0) if is_share else max(largest, 1.0)
    first, last = points[0].at, points[-1].at
    xs = [(point.at - first) * WIDTH / max(1, last - first) for point in points]
    drawn = [
        Line(label=label, points=_polyline(xs, each, top), newest=to_text(each[-1]))
        for label, each in values.items()
    ]
    description = Phrase(
        "{title}, scale up to {top}; newest: {newest}",
        title=title,
        top=to_text(top),
        newest=", ".join(f"{line.label} {line.newest}" for line in drawn),
    )
    return Chart(
        title=words.words(title),
        lines=drawn,
        top=to_text(top),
        since=first,
        until=last,
        description=words.words(description),
    )


def _polyline(xs: list[float], values: list[float], top: float) -> str:
    return " ".join(
        f"{x:.1f},{HEIGHT * (1 - min(value / top, 1)):.1f}" for x, value in zip(xs, values, strict=True)
    )
