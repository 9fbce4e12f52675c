"""A simulated call centre: one world, in virtual time or behind the platform's HTTP and Redis."""

from streamdialer.callcentre.audit import AgentTime, Audit, Tally
from streamdialer.callcentre.build import build_world
from streamdialer.callcentre.centre import CallCentre
from streamdialer.callcentre.config import CentreConfig, WorldConfig
from streamdialer.callcentre.things import Agent, Call, Campaign, Contact, Happening, News, Queue
from streamdialer.callcentre.web import Recorded, drop_connection, json_reply
from streamdialer.callcentre.world import World

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
