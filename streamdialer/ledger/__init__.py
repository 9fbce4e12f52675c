"""The ledger: where every contact is and what every attempt came to.

Each change is one Lua script with one typed stub.
"""

from streamdialer.ledger.backlog import ListLedger
from streamdialer.ledger.callbacks import CallbackLedger, CallbackNoted
from streamdialer.ledger.campaigns import CampaignLedger
from streamdialer.ledger.event_facts import CallFact, fact_of
from streamdialer.ledger.history import PastCall, past_calls
from streamdialer.ledger.outbox import Outbox, Update
from streamdialer.ledger.previews import PreviewLedger, PreviewNeeds, PreviewTerms
from streamdialer.ledger.queues import CampaignState, QueueLedger, QueueState
from streamdialer.ledger.recovery import DoubtRow, Memory, MemoryState, trust_memory
from streamdialer.ledger.suppression import Listing, Suppression
from streamdialer.ledger.ticks import TickLedger
from streamdialer.ledger.types import Claimed, Loaded, LoadRow, Reservation, Swept
from streamdialer.ledger.uncertain import UncertainAttempt, uncertain_attempts

__all__ = [
    "CallFact",
    "CallbackLedger",
    "CallbackNoted",
    "CampaignLedger",
    "CampaignState",
    "Claimed",
    "DoubtRow",
    "ListLedger",
    "Listing",
    "LoadRow",
    "Loaded",
    "Memory",
    "MemoryState",
    "Outbox",
    "PastCall",
    "PreviewLedger",
    "PreviewNeeds",
    "PreviewTerms",
    "QueueLedger",
    "QueueState",
    "Reservation",
    "Suppression",
    "Swept",
    "TickLedger",
    "UncertainAttempt",
    "Update",
    "fact_of",
    "past_calls",
    "trust_memory",
    "uncertain_attempts",
]
