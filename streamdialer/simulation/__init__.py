"""A simulated call centre: one world, in virtual time or behind the platform's HTTP and Redis."""

from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.servers.http import Recorded, drop_connection, json_reply
from streamdialer.simulation.world.auditor import AgentTime, Audit, Tally
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.config import CentreConfig, WorldConfig
from streamdialer.simulation.world.engine import World
from streamdialer.simulation.world.entities import Agent, Call, Campaign, Contact, Happening, News, Queue

__all__ = [
    "Agent",
    "AgentTime",
    "Audit",
    "Call",
    "CallCentre",
    "Campaign",
    "CentreConfig",
    "Contact",
    "Happening",
    "News",
    "Queue",
    "Recorded",
    "Tally",
    "World",
    "WorldConfig",
    "build_world",
    "drop_connection",
    "json_reply",
]
