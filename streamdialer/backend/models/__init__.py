"""The tables."""

from streamdialer.backend.models.attempts import Attempt
from streamdialer.backend.models.blocks import Block
from streamdialer.backend.models.campaigns import Campaign
from streamdialer.backend.models.contacts import Contact
from streamdialer.backend.models.lists import ContactList
from streamdialer.backend.models.queues import Agent, Queue

__all__ = ["Agent", "Attempt", "Block", "Campaign", "Contact", "ContactList", "Queue"]
