"""The ledger: the state of every contact and of every attempt.

Each change is one Lua script with one typed stub, its only caller.
"""

from streamdialer.ledger.backlog import BacklogLedger
from streamdialer.ledger.callbacks import CallbackLedger, CallbackStatus
from streamdialer.ledger.campaigns import CampaignLedger
from streamdialer.ledger.event_facts import CallFact, fact_of
from streamdialer.ledger.history import PastCall, past_calls
from streamdialer.ledger.outbox import Outbox
from streamdialer.ledger.previews import PreviewLedger, PreviewLimits, PreviewMissing
from streamdialer.ledger.queues import CampaignState, QueueLedger, QueueState
from streamdialer.ledger.records import Update
from streamdialer.ledger.recovery import DataLossRecovery, DataLossState, InFlightRow, mark_server_trusted
from streamdialer.ledger.suppression import DncEntry, DncLedger
from streamdialer.ledger.ticks import TickLedger
from streamdialer.ledger.types import ClaimRequest, ClaimResult, LoadResult, LoadRow, SweepResult
from streamdialer.ledger.uncertain import UncertainAttempt, uncertain_attempts

__all__ = [
    "BacklogLedger",
    "CallFact",
    "CallbackLedger",
    "CallbackStatus",
    "CampaignLedger",
    "CampaignState",
    "ClaimRequest",
    "ClaimResult",
    "DataLossRecovery",
    "DataLossState",
    "DncEntry",
    "DncLedger",
    "InFlightRow",
    "LoadResult",
    "LoadRow",
    "Outbox",
    "PastCall",
    "PreviewLedger",
    "PreviewLimits",
    "PreviewMissing",
    "QueueLedger",
    "QueueState",
    "SweepResult",
    "TickLedger",
    "UncertainAttempt",
    "Update",
    "fact_of",
    "mark_server_trusted",
    "past_calls",
    "uncertain_attempts",
]
