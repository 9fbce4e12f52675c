"""A simulated call centre: one world, in virtual time or behind the platform's HTTP APIs and Redis."""

from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.servers.http import RecordedRequest, drop_connection, json_reply
from streamdialer.simulation.world.auditor import AgentTime, Audit, CallCounts
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.config import CentreConfig, WorldConfig
from streamdialer.simulation.world.engine import World
from streamdialer.simulation.world.entities import Agent, Call, Campaign, Contact, EventData, Queue, SimEvent

__all__ = [
    "Agent",
    "AgentTime",
    "Audit",
    "Call",
    "CallCentre",
    "CallCounts",
    "Campaign",
    "CentreConfig",
    "Contact",
    "EventData",
    "Queue",
    "RecordedRequest",
    "SimEvent",
    "World",
    "WorldConfig",
    "build_world",
    "drop_connection",
    "json_reply",
]
