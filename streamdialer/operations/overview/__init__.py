"""Campaigns, queues, streams and replicas at one moment: what `top`, the dashboard and the demo show."""

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
