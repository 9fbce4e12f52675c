"""Everything there is to see, read from Redis at once: what `top` and the web page show."""

from streamdialer.operations.overview.collect import overview
from streamdialer.operations.overview.views import (
    AbandonRate,
    Agents,
    Alert,
    CampaignOverview,
    Overview,
    QueueOverview,
    StreamOverview,
    TrendPoint,
)

__all__ = [
    "AbandonRate",
    "Agents",
    "Alert",
    "CampaignOverview",
    "Overview",
    "QueueOverview",
    "StreamOverview",
    "TrendPoint",
    "overview",
]
