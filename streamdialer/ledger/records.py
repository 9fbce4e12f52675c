"""The records of the ledger, decoded: the one table of the short names that the Lua scripts write.

A contact's record is JSON in the hash `Keys.records`, its undelivered update JSON in `Keys.outbox`. Only the scripts
write them. Times are ledger ms, except where a field says server ms. What may be missing has a default.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import msgspec
from msgspec import field

from streamdialer.model import AgentState

ContactState = Literal[
    "ready", "deferred", "previewing", "reserved", "dialing", "connected", "orphaned", "final"
]
AttemptState = Literal["reserved", "sent", "ringing", "answered", "orphaned", "ended", "released"]
CONTACT_STATES: Final[tuple[ContactState, ...]] = get_args(ContactState)
"""A contact with a record is in exactly one of them; `Keys` has a sorted set for each."""


class AttemptFacts(msgspec.Struct, frozen=True):
    """What is known of an attempt, in whatever order it came. Flags are 1 when true."""

    rang: int = field(default=0, name="r")
    answered: int = field(default=0, name="a")
    by_machine: int = field(default=0, name="m")
    completed_as: str | None = field(default=None, name="c")
    """Disposition of `call_completed`."""
    failed_as: str | None = field(default=None, name="x")
    """Disposition of `call_failed`."""
    failure_cause: str | None = field(default=None, name="xc")
    abandoned: int = field(default=0, name="b")
    never_placed: int = field(default=0, name="i")
    """The API says that it will never place the call."""
    not_placed: int = field(default=0, name="z")
    """The API says that it has not placed the call."""
    silent: int = field(default=0, name="dl")
    """No event came until the deadline."""
    without_end: int = field(default=0, name="mx")
    """No end came until the longest conversation was over."""
    missing_at_ms: float | None = field(default=None, name="sl")
    """No event source lists the call, and each has listed its calls since then; later events of it still count."""
    forgotten: int = field(default=0, name="u")
    """Redis lost data while the call was up, and no event came in its ringing time."""
    shown_answered: int = field(default=0, name="w")
    """The backend shows it as answered."""


class PastAttempts(msgspec.Struct, frozen=True):
    """The contact's attempts before this one, fixed when this one was reserved."""

    counted: int = field(name="a")
    uncounted_in_a_row: int = field(name="u")
    """Those right before it that do not count."""
    ended_by: dict[str, int] = field(default_factory=dict, name="k")
    """Key of a retry rule -> attempts that ended under it."""


class Attempt(msgspec.Struct, frozen=True):
    """One attempt of a contact."""

    number: int = field(name="n")
    id: str
    """`{campaign}:{contact}:{number}:{when it was reserved, in base 36}`; never used twice."""
    token: str = field(name="t")
    """Of its reservation."""
    state: AttemptState = field(name="s")
    facts: AttemptFacts = field(name="f")
    past: PastAttempts = field(name="p")
    reserved_ms: float = field(name="rm")
    sent_ms: float | None = field(default=None, name="sm")
    sent_again_ms: float | None = field(default=None, name="sa")
    """When its request was last repeated; the deadline counts from then."""
    answered_ms: float | None = field(default=None, name="am")
    ended_ms: float | None = field(default=None, name="em")
    deadline_after_ms: float | None = field(default=None, name="dd")
    """From sending until silence ends it."""
    disposition: str | None = field(default=None, name="d")
    retry_rule: str | None = field(default=None, name="y")
    """Key of the rule it ended under."""
    is_uncounted: bool = field(default=False, name="u")
    """It does not count towards the contact's attempts."""
    run: str | None = field(default=None, name="b")
    """The try that marked it as sent."""
    verdict: str | None = field(default=None, name="v")
    """What the reply meant: placed, not_placed, never or unknown."""
    replied_ms: float | None = field(default=None, name="vm")
    """When the reply came, if no event of the call had come before."""
    call_id: str | None = field(default=None, name="c")
    """In events."""
    other_call_ids: list[str] = field(default_factory=list, name="cl")
    """Of the call's other legs, at most four."""
    lost_id: str | None = field(default=None, name="ai")
    """Of the lost call that it stands for, as an event has named it; only of an attempt that `is_remembered`."""
    last_sign_ms: float | None = field(default=None, name="lm")
    """When the newest event of its beginning or answer was written."""
    first_end_event: str | None = field(default=None, name="ee")
    """The id in `events` of the event of its end that was written first."""
    reply_call_id: str | None = field(default=None, name="rc")
    """In the reply."""
    phone_index: int | None = field(default=None, name="ph")
    """Which of the contact's numbers, from 1; 0 the callback's own; None when there is only one."""
    called_number: str | None = field(default=None, name="to")
    """As numbers are compared; kept where a callback asked for it or caps count it."""
    callback_entry: str | None = field(default=None, name="cb")
    """Of the callback it was made for."""
    caller_id: str | None = field(default=None, name="ci")
    """Of the campaign's pool."""
    caller_id_day: str | None = field(default=None, name="cy")
    """The day on which it counts, None after it was given back."""
    counted_slot: int | None = field(default=None, name="fs")
    """When it was counted among the recent calls (`lua/lib/auto_pause.lua`)."""
    counted_as_failed: int | None = field(default=None, name="ff")
    agent: str | None = field(default=None, name="ag")
    """It was made for this agent."""
    agent_at_answer: str | None = field(default=None, name="wa")
    """Who took the call, as events of its answer name them."""
    agent_at_end: str | None = field(default=None, name="we")
    """As events of its end name them."""
    duration_s: float | None = field(default=None, name="du")
    """As events give it."""
    outcome_mark: str | None = field(default=None, name="oc")
    """Of what its newest entry in `dialer:outcomes` says; empty while the call goes on after all."""
    allowed_by: str | None = field(default=None, name="al")
    """Rule packs, zones and end of the window that allowed the call. Only of the newest attempt."""
    trace: str | None = field(default=None, name="tr")
    """The call's `traceparent`."""
    newest_event_when_sent: str | None = field(default=None, name="ev")
    newest_event_at_deadline: str | None = field(default=None, name="dp")
    """Both are ids of entries in `events`."""
    over_in_rebuild: str | None = field(default=None, name="g")
    """The rebuild in which the backend may know that the call is over."""
    up_in_rebuild: str | None = field(default=None, name="k")
    """The rebuild in which the backend shows the call as up."""

    @property
    def is_remembered(self) -> bool:
        """It was made up after Redis had lost the call."""
        return self.token == "remembered"

    @property
    def was_sent(self) -> bool:
        """A request has left for it, and the API has not said that no call came of it."""
        return self.state not in ("reserved", "released")


class CallbackRequest(msgspec.Struct, frozen=True):
    """The newest callback that was asked for."""

    entry: str = field(name="e")
    """Of the request."""
    due_ms: float = field(name="at")
    """Server ms."""
    agent_until_ms: float = field(name="gr")
    """Until then it is for `agent` alone; server ms."""
    agent: str | None = field(default=None, name="ag")
    number: str | None = field(default=None, name="num")
    """None: the contact's own."""
    compared_number: str | None = field(default=None, name="nn")
    """The number as numbers are compared."""
    was_placed: bool = field(default=False, name="had")
    """By an attempt that is no longer in the record."""
    was_skipped: bool = field(default=False, name="sk")
    """By an agent in preview."""
    is_in_vain: bool = field(default=False, name="vain")
    """The contact was not to be called any more when it was asked for."""


class Wait(msgspec.Struct, frozen=True):
    """Why a deferred contact waits."""

    reason: str = field(name="y")
    detail: str | None = field(default=None, name="s")


class Offer(msgspec.Struct, frozen=True):
    """The agent a contact is shown to, until they answer."""

    agent: str = field(name="ag")
    entry: str = field(name="e")
    """Of the agent's request."""


class ContactRecord(msgspec.Struct, frozen=True):
    """A contact."""

    state: ContactState = field(name="p")
    attempts: int = field(name="a")
    """That count."""
    history: list[Attempt] = field(default_factory=list, name="h")
    """The last eight attempts at most, the newest last."""
    order: str = field(default="", name="o")
    """The score it gets in `ready`."""
    priority: int | None = field(default=None, name="pr")
    """10 is the highest."""
    seen_ms: float | None = field(default=None, name="sn")
    """When the backend last listed it as pending, or confirmed that status."""
    wait: Wait | None = field(default=None, name="w")
    """Only while deferred."""
    offer: Offer | None = field(default=None, name="of")
    """Only while previewing."""
    callback: CallbackRequest | None = field(default=None, name="cb")
    is_suppressed: bool = field(default=False, name="dnc")
    is_removed: int = field(default=0, name="x")
    """1: the backend no longer shows it as pending. Only while final."""
    confirmed_ms: float | None = field(default=None, name="cf")
    """When the backend agreed, or refused to, that it is final. Only while final."""
    is_refused: int = field(default=0, name="rf")
    """1: the backend refused its newest state."""
    late_worker: str | None = field(default=None, name="lw")
    """Token of a worker that lost its lease of an update: its request may still reach the backend."""
    row_mark: str | None = field(default=None, name="rw")
    """Of the backend's row (`LoadRow.shown`) as it was last seen before the contact was called."""
    problem: str | None = field(default=None, name="why")
    """Why it can never be called."""
    shown_status: str | None = field(default=None, name="rs")
    """What the backend showed, or was last known to have taken; None: pending."""
    zones: str | None = field(default=None, name="z")
    """Its place (`rules.zones`); `?` could not be read, None: not looked up yet."""
    day: tuple[int, int] | None = field(default=None, name="dy")
    """When the day on its clock began and when it ends, where a cap counts by it; server ms."""
    consent_ms: float | None = field(default=None, name="cs")
    """When it gave its consent, Unix ms; 0 when the backend does not say when."""
    subject: str | None = field(default=None, name="su")
    """What its calls are about."""
    numbers: list[str] = field(default_factory=list, name="e")
    """As numbers are compared: E.164, or the digits as given where no country was known."""
    other_spellings: list[str] = field(default_factory=list, name="ns")
    """Digits of numbers that the backend spells in another way."""
    numbers_held: list[str] = field(default_factory=list, name="lk")
    """While a call may be up: the numbers that no other contact is called at; `@agent` while it comes to one."""
    next_phone_index: int | None = field(default=None, name="ni")
    """Which number is called next, from 1; 0 when none is left."""
    dead_phone_indexes: dict[str, bool] = field(default_factory=dict, name="nx")
    """Numbers that do not exist."""

    @property
    def newest(self) -> Attempt | None:
        return self.history[-1] if self.history else None

    @property
    def open_callback(self) -> CallbackRequest | None:
        """The callback that was asked for and has not been placed; as `open_callback` in `lua/lib/campaign.lua`."""
        request = self.callback
        if request is None or request.was_placed:
            return None
        is_placed = any(each.callback_entry == request.entry and each.was_sent for each in self.history)
        return None if is_placed else request


class Doubt(msgspec.Struct, frozen=True):
    """Redis may have lost what came after the last call that the ledger knows."""

    last_attempt_ms: float | None = field(default=None, name="at")
    """Server ms; None when the ledger does not know."""


class Update(msgspec.Struct, frozen=True):
    """The newest state of a contact that the backend has not confirmed."""

    version: int = field(name="v")
    status: str = field(name="s")
    entry: str = field(default="", name="e")
    """In the stream `updates`: says that there is something to deliver."""
    attempts: int | None = field(default=None, name="a")
    """None: the backend knows better."""
    last_attempt_ms: int | None = field(default=None, name="at")
    """Server ms."""
    lease_token: str | None = field(default=None, name="l")
    """Of the consumer that delivers it."""
    lease_since_ms: float | None = field(default=None, name="ls")
    lease_until_ms: float | None = field(default=None, name="le")
    attempt: str = field(default="", name="id")
    """The contact's newest attempt; this and `trace` only in a lease that asked for them."""
    trace: str = field(default="", name="tr")
    backend_paused_ms: int = field(default=0, name="bp")
    """How long the backend asks for no requests; only in a lease."""
    shown_status: str | None = field(default=None, name="rs")
    """`shown_status` of the contact; this, `disposition` and `doubt` only in a lease."""
    disposition: str | None = field(default=None, name="d")
    """Of the contact's last call; None while it is up, and when it was not placed."""
    is_uncounted: bool = field(default=False, name="u")
    """Whether that call does not count as an attempt; only in a lease."""
    doubt: Doubt | None = field(default=None, name="ck")
    """Whether this is newer than what the backend shows has to be found out."""


class AgentRecord(msgspec.Struct, frozen=True):
    """An agent, in whatever queue they were heard; a value of `Keys.agents`."""

    queues: list[str] = field(name="q")
    """Those in whose list the agent stands, sorted."""
    state: AgentState = field(name="s")
    heard_ms: float = field(name="t")
    """When `state` was last changed, or an event confirmed it."""
    by_event: int = field(default=0, name="e")
    """1: an event has said it last; a list may lag behind it."""
    call: str | None = field(default=None, name="c")
    """Attempt whose call the agent has; only while it is up."""
    is_guess: int = field(default=0, name="g")
    """1: no event has named the agent of `call`."""
    doubted_ms: float | None = field(default=None, name="d")
    """Since when the lists contradict `state`."""
    counted_state: AgentState | None = field(default=None, name="ps")
    """The state whose conversations are counted."""
    since_ms: float | None = field(default=None, name="sn")
    """Since when."""
    before_guess_ms: float | None = field(default=None, name="gs")
    """`since_ms` before the agent of the call was guessed."""
    talks: str = field(default="", name="hr")
    """`hour calls ms` for each of the last hours: conversations, and how long they lasted; ledger time."""


decode_contact: Final = msgspec.json.Decoder(ContactRecord).decode
decode_update: Final = msgspec.json.Decoder(Update).decode
