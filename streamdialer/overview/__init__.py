"""Everything there is to see, read from Redis at once: what `top` and the web page show."""

from streamdialer.overview.reading import overview
from streamdialer.overview.things import (
    Abandoning,
    Agents,
    Alarm,
    CampaignView,
    Interval,
    Overview,
    QueueView,
    StreamView,
)

__all__ = [
    "Abandoning",
    "Agents",
    "Alarm",
    "CampaignView",
    "Interval",
    "Overview",
    "QueueView",
    "StreamView",
    "overview",
]
