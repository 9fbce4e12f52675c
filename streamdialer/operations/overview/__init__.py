"""Everything there is to see, read from Redis at once: what `top` and the web page show."""

from streamdialer.operations.overview.collect import overview
from streamdialer.operations.overview.views import (
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
