"""The words of the field as typed structs: campaign, contact, agent, call event, tick.

Everything read from outside becomes one of these at the edge. Ids may arrive as integers or strings; inside they are
strings that are safe in a key name.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Any, Final, Literal, get_args
from urllib.parse import quote, unquote

import msgspec

DialMode = Literal["preview", "progressive", "predictive", "power", "agentless"]
Pacing = Literal["fixed", "adaptive"]
CallerIdChoice = Literal["rotate", "area_code"]
"""`rotate`: evenly; `area_code`: first those with the called number's area code."""
TickKind = Literal["dial", "retry", "stats", "cleanup"]
TICK_KINDS: Final[tuple[TickKind, ...]] = get_args(TickKind)

ContactStatus = Literal[
    "pending",
    "dialing",
    "answered",
    "completed",
    "no_answer",
    "busy",
    "failed",
    "machine",
    "abandoned",
    "invalid",
    "do_not_call",
    "callback",
]
CallEventType = Literal["call_ringing", "call_answered", "call_completed", "call_failed", "call_abandoned"]
AgentEventType = Literal["agent_available", "agent_busy", "agent_wrapup", "agent_offline"]
AgentState = Literal["available", "busy", "wrapup", "offline"]
CALL_EVENTS: Final[tuple[CallEventType, ...]] = get_args(CallEventType)
AGENT_EVENTS: Final[tuple[AgentEventType, ...]] = get_args(AgentEventType)
AGENT_EVENT_STATES: Final[dict[AgentEventType, AgentState]] = {
    "agent_available": "available",
    "agent_busy": "busy",
    "agent_wrapup": "wrapup",
    "agent_offline": "offline",
}
PreviewEventType = Literal["preview_requested", "preview_accepted", "preview_skipped"]
ContactEventType = Literal["do_not_call"]
CALLBACK_EVENTS: Final[tuple[Literal["callback_requested"], ...]] = ("callback_requested",)
CONTACT_EVENTS: Final[tuple[ContactEventType, ...]] = get_args(ContactEventType)
SOURCE_EVENTS: Final[tuple[Literal["source_live"], ...]] = ("source_live",)
QUEUE_EVENTS: Final[tuple[Literal["queue_agents"], ...]] = ("queue_agents",)
PREVIEW_EVENTS: Final[tuple[PreviewEventType, ...]] = get_args(PreviewEventType)

AGENT_STATES: Final[dict[str, AgentState]] = {
    **dict.fromkeys(("available", "idle"), "available"),
    **dict.fromkeys(("busy", "on_call", "oncall", "in_call", "incall", "talking", "ringing"), "busy"),
    **dict.fromkeys(("wrapup", "wrap_up", "acw", "after_call_work", "aftercall"), "wrapup"),
    **dict.fromkeys(
        ("offline", "unavailable", "not_available", "logged_out", "logout", "loggedout"), "offline"
    ),
    **dict.fromkeys(("away", "break", "on_break", "lunch", "pause", "paused", "not_ready", "dnd"), "offline"),
    **dict.fromkeys(("disconnected", "inactive", "unknown", ""), "offline"),
}
"""The backend's words for an agent's state; a word that is not here counts as offline, and is named."""

OnMachine = Literal["hangup", "message", "agent"]
"""What follows when a machine answers: the end, a message, or an agent as for a person."""
MAX_RING_TIMEOUT_S: Final = 600
"""Longest `ring_timeout` of a campaign."""
AGENTLESS_QUEUE: Final = "agentless/"
"""An agentless campaign stands alone in a queue of this name and its id; no queue of agents is called so."""
MAX_CALLER_IDS: Final = 200
"""Most caller ids of one campaign."""
MAX_WORD: Final = 256
"""Characters of an id or a word in an event."""

_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]*")
_MAX_EXACT: Final = 2**53
_SEPARATOR: Final = re.compile(r"[,;|\n]")
_CONTROL: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories: control characters, line breaks, halves of characters."""


def has_control(text: str) -> bool:
    """Whether the text has a control character or a line break, which may end a line of another program's protocol."""
    return not text.isprintable() and any(unicodedata.category(each) in _CONTROL for each in text)


def normalise_id(raw: object) -> str:
    """An id as the text used inside: characters that could not be part of a key name are percent-encoded.

    Raises ValueError for what is no id.
    """
    if isinstance(raw, float) and raw.is_integer() and abs(raw) < _MAX_EXACT:
        raw = int(raw)
    text = str(raw) if isinstance(raw, int) and not isinstance(raw, bool) else raw
    if isinstance(text, str):
        text = text.strip()
        if 0 < len(text) <= MAX_WORD and text not in (".", "..") and not has_control(text):
            return quote(text, safe="@")
    shown = repr(raw)[:100]
    raise ValueError(
        f"an id is an integer, or a text of 1–{MAX_WORD} characters without control characters; got {shown}"
    )


def plain_id(internal: str) -> str:
    """An id as its program writes it."""
    return unquote(internal)


def wire_id(internal: str) -> int | str:
    """An id as other programs expect it: an integer if it is written as one ("007" is not 7)."""
    return int(internal) if _INTEGER.fullmatch(internal) else plain_id(internal)


def has_agents(queue: str) -> bool:
    """False for the queue in which an agentless campaign stands alone."""
    return not queue.startswith(AGENTLESS_QUEUE)


class CampaignSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the backend says of a campaign (`GET /api/campaigns/{id}/`); unknown fields are ignored."""

    queue_name: str
    """Of an agentless campaign: `AGENTLESS_QUEUE` and its id."""
    name: Any = None
    """For people; anything but text is ignored."""
    dial_mode: DialMode = "progressive"
    pacing_ratio: Annotated[float, msgspec.Meta(gt=0)] = 1.2
    """Calls per free agent, for predictive (up to 3.0) and power (up to 5.0)."""
    max_concurrent_calls: Annotated[int, msgspec.Meta(ge=0)] = 50
    slots: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Most live calls of an agentless campaign, which must have it; other modes do not use it."""
    max_retries: Annotated[int, msgspec.Meta(ge=0)] = 3
    """Most attempts per contact."""
    retry_delay: Annotated[float, msgspec.Meta(ge=0)] = 300.0
    """Seconds from the end of an attempt to the next."""
    retry_rules: dict[str, Any] | None = None
    """What follows each end of an attempt, where it differs from the default: `rules.retry`."""
    attempt_caps: list[Any] | None = None
    """These four fields narrow what the rule pack allows: `rules.caps`."""
    contact_caps: list[Any] | None = None
    min_gap: dict[str, Any] | None = None
    abandon_cooloff: dict[str, Any] | None = None
    calls_per_second: Annotated[float, msgspec.Meta(gt=0)] | None = None
    trunk: str | None = None
    caller_id: str | None = None
    caller_ids: tuple[str, ...] = ()
    """Its calls show one of these in turn, in place of `caller_id`."""
    caller_id_choice: CallerIdChoice = "rotate"
    caller_id_daily_cap: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Most calls per caller id of `caller_ids` and calendar day in the campaign's time zone."""
    start_time: str | None = None
    end_time: str | None = None
    days_of_week: tuple[Annotated[int, msgspec.Meta(ge=0, le=6)], ...] | None = None
    timezone: str | None = None
    pacing: Pacing | None = None
    """Of predictive campaigns; None means the setting's."""
    abandon_cap: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.03
    """Largest share of abandoned calls, of the calls answered by a person, within the window of the rule pack."""
    rule_pack: str | None = None
    country: str | None = None
    """Of numbers without a calling code, ISO 3166 alpha-2; None means the setting's."""
    auto_pause: bool | None = None
    """It pauses itself when half of its calls fail within two minutes; None means the setting's."""
    weight: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    reserve_agents: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Free agents of the queue that its calls leave free, for incoming calls."""
    ring_timeout: Annotated[float, msgspec.Meta(gt=0, le=MAX_RING_TIMEOUT_S)] | None = None
    """Seconds a call may ring; None means the setting's."""
    amd: bool = False
    """Whether answered calls are listened to for a machine first (answering machine detection)."""
    on_machine: OnMachine = "hangup"
    """With `amd`."""
    defaulted: tuple[str, ...] = ()
    """A line on each field that cannot be read and has its default; not a field of the backend."""

    @property
    def is_adaptive(self) -> bool:
        return self.dial_mode == "predictive" and self.pacing == "adaptive"

    @property
    def is_agentless(self) -> bool:
        return self.dial_mode == "agentless"

    @property
    def machine_action(self) -> OnMachine | None:
        """What follows when a machine answers; None: nobody listens for one."""
        return self.on_machine if self.amd else None


class Agent(msgspec.Struct, frozen=True):
    """One agent of a queue, as the backend lists it."""

    id: int | str
    status: str | None = None

    @property
    def is_free(self) -> bool:
        return self.state == "available"

    @property
    def state(self) -> AgentState:
        return AGENT_STATES.get(self._status_word, "offline")

    @property
    def has_known_status(self) -> bool:
        return self._status_word in AGENT_STATES

    @property
    def _status_word(self) -> str:
        return (self.status or "").strip().lower().replace("-", "_").replace(" ", "_")


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """One contact of a campaign, as the backend lists it; unknown fields are ignored."""

    id: int | str
    campaign_id: int | str | None = None
    phone_number: Any = None
    phone_2: Any = None
    phone_3: Any = None
    phones: Any = None
    """All numbers, as a list or a text with commas; replaces the three fields. `numbers` reads the four of them."""
    status: str = "pending"
    priority: int | None = 5
    """1–10, higher first."""
    attempts: int | None = 0
    last_attempt: str | float | None = None
    """ISO 8601; anything else counts as unknown."""
    timezone: str | None = None
    region: str | None = None
    """ISO 3166-2 code such as `US-FL`."""
    subject: str | None = None
    """What its calls are about, such as a debt's number."""
    caller_id: str | None = None
    """Shown by its calls, in place of the campaign's."""
    consent: bool | str | float | None = None
    """When it was given, ISO 8601, or true; anything else is none."""
    custom_data: Any = None
    do_not_call: bool = False

    @property
    def is_suppressed(self) -> bool:
        """The backend says: do not call."""
        return self.do_not_call or self.status == "do_not_call"

    @property
    def numbers(self) -> list[str | float]:
        """What stands in the fields for numbers and has a digit, each once, in dialing order: not all are numbers."""
        return _with_digits(self.phones) or _with_digits([self.phone_number, self.phone_2, self.phone_3])


class ContactData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the ledger keeps of a contact, as JSON; the scripts read little of it."""

    id: int | str
    campaign_id: int | str | None = None
    """As the backend writes it; None means as `wire_id` writes it."""
    phone_number: str = ""
    """As it is dialed."""
    phones: list[str] = []
    """All numbers, if there are several."""
    n: list[str] = []
    """The same numbers in the spelling for comparison: E.164, or the digits if the country is unknown."""
    timezone: str = ""
    region: str = ""
    subject: str | None = None
    caller_id: str = ""
    """'' means the campaign's."""
    consent_ms: int | None = None
    """When it was given, Unix ms; 0 when the backend does not say when."""
    dnc: bool = False
    """The backend says: do not call."""
    variables: dict[str, str] = {}
    """What of the contact's own data goes to the telephone system, where `custom_data` is not kept."""
    custom_data: Any = None
    """Shown to an agent in preview campaigns."""


class CallEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a call, written by a producer that watches the telephone network."""

    type: CallEventType
    campaign_id: str
    contact_id: str
    call_id: str = ""
    attempt_id: str = ""
    """Decides which attempt the event belongs to; '' leaves it to the call id and to time."""
    agent_id: str = ""
    queue: str = ""
    answered_by: Literal["human", "machine", "unknown", ""] = ""
    duration: float | None = None
    """Seconds."""
    disposition: str = ""
    cause: str = ""
    """SIP or Q.850 cause, in the producer's spelling."""


Word = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_WORD)]


class ListEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A whole list of an event source, or a part of one that is too long for one entry."""

    source: Word
    """The same name after a restart."""
    list_id: str = ""
    """The same in all parts of a list, and in no other list of the source."""
    part: Annotated[int, msgspec.Meta(ge=1)] = 1
    parts: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1


class SourceEvent(ListEvent, frozen=True, kw_only=True):
    """An event source says: these are all calls that are up."""

    type: Literal["source_live"]
    since: str
    """Since when it has watched without a gap, ISO 8601."""
    calls: Annotated[list[Word], msgspec.Meta(max_length=10_000)]
    """Ids of attempts or of calls."""


class QueueAgentsEvent(ListEvent, frozen=True, kw_only=True):
    """The telephone system says: these are all agents of the queue."""

    type: Literal["queue_agents"]
    queue: Word
    agents: dict[str, AgentState]
    """Agent -> state."""


class DoNotCallEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A request not to call: a number, or a contact with all their numbers."""

    type: ContactEventType
    campaign_id: str = ""
    contact_id: str = ""
    phone_number: str | int | float = ""
    reason: str = ""

    @property
    def has_target(self) -> bool:
        return bool(self.phone_number or (self.contact_id and self.campaign_id))


class AgentEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of an agent; `queue` or `campaign_id` place an agent who is not known yet."""

    type: AgentEventType
    agent_id: str = ""
    queue: str = ""
    campaign_id: str = ""

    @property
    def state(self) -> AgentState:
        return AGENT_EVENT_STATES[self.type]


class CallbackEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A contact asks to be called at an instant."""

    type: Literal["callback_requested"]
    campaign_id: str
    contact_id: str
    at: str
    """ISO 8601, with an offset or Z."""
    phone_number: str | int | float = ""
    """'' means the contact's own."""
    agent_id: str = ""
    """The requested agent; '' means any."""


class PreviewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent of a preview campaign asks for a contact, accepts it or skips it."""

    type: PreviewEventType
    campaign_id: str
    agent_id: str
    contact_id: str = ""
    """'' means the contact the agent previews."""
    reason: str = ""


class PreviewAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to an agent: the contact to preview, or why there is none."""

    type: str
    """preview_offered, preview_none, preview_refused, preview_skipped or preview_expired."""
    campaign_id: str
    agent_id: str
    contact_id: str
    """'' without a contact."""
    request: str
    """Id of the agent's event."""
    data: dict[str, Any]
    """With a contact: id, phone_number, custom_data, attempts, expires_at, and for a callback callback_at and
    callback_number; else the reason."""


class Tick(msgspec.Struct, frozen=True):
    """A request to run one campaign once."""

    id: str
    kind: TickKind
    campaign: str


class Block(msgspec.Struct, frozen=True):
    """Contacts to which one rule has forbidden a call."""

    reason: str
    count: int
    rule: str = ""
    """A sentence; '' when it is not known."""
    contacts: list[str] = []
    """The first of them."""


class TickResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a tick did; stored under the tick's id, and kept as the campaign's decision record."""

    status: Literal["ok", "skipped", "error"]
    kind: TickKind
    campaign_id: str
    reason: str | None = None
    detail: str | None = None
    """The reason in a sentence, for people."""
    dialed: int | None = None
    failed: int | None = None
    available_agents: int | None = None
    active_calls: int | None = None
    live_calls: int | None = None
    ready: int | None = None
    deferred: int | None = None
    mode: str | None = None
    wanted: int | None = None
    """Calls the campaign's formula alone would place."""
    level: int | None = None
    """Placed and unanswered calls the campaign may have, after campaigns share the queue's agents."""
    limit: str | None = None
    """The limit that applied."""
    pacing_ratio: float | None = None
    max_concurrent_calls: int | None = None
    share: int | None = None
    """The campaign's share of the queue's free agents."""
    steps: list[tuple[str, int, int]] | None = None
    """The limits in order: name, calls that could be placed now before the limit, and after it."""
    adaptive: dict[str, Any] | None = None
    """Inputs and results of adaptive pacing: `pacing.adaptive.AdaptiveDecision`."""
    shadow: dict[str, Any] | None = None
    """The same for a campaign with another pacing: what adaptive pacing would have placed."""
    orphaned: int | None = None
    """Contacts whose call Redis has lost and that may still be live."""
    only_ends: int | None = None
    """Calls past their deadline that count as up because only ends of other calls have come since."""
    skipped: dict[str, int] | None = None
    """Skipped contacts, by reason."""
    why: dict[str, str] | None = None
    """The rule that skipped the first of them, by reason."""
    blocks: list[Block] | None = None
    """Contacts that rules have blocked; kept in the stream of blocks, not with the result."""
    notices: dict[str, str] | None = None
    """What is wrong although the campaign is dialed, by code, in words (`dialing.reasons.NOTICES`)."""
    refilled: int | None = None
    ages_s: dict[str, float] | None = None
    """How old the inputs of the decision were."""
    retries: list[str] | None = None
    """The inputs that a try found out of date; they were refreshed, and it was tried again."""
    reset: int | None = None
    statistics: dict[str, Any] | None = None
    removed: int | None = None
    at: int | None = None
    """Redis time, ms."""


class Attempt(msgspec.Struct, frozen=True):
    """A reserved call as the `calls` stream carries it."""

    id: str
    """Never used twice: idempotency key and log subject; made in `lua/lib/retry.lua`."""
    campaign: str
    contact: str
    token: str
    """Of its reservation."""


_NUMBER_NAMES: Final = ("phone_number", "number", "phone", "value")
"""Fields of an object that is one of a contact's numbers."""


def _with_digits(raw: object) -> list[str | float]:
    """The texts and JSON numbers with a digit, each once."""
    found: list[str | float] = []
    for each in raw if isinstance(raw, list) else _SEPARATOR.split(raw) if isinstance(raw, str) else [raw]:
        number: object = each
        if isinstance(each, dict):
            number = next((each[name] for name in _NUMBER_NAMES if each.get(name)), None)
        if isinstance(number, str | int | float) and not isinstance(number, bool):
            found += [number] if any(map(str.isdigit, str(number))) and number not in found else []
    return found


ObservationKind = Literal["human", "machine", "busy", "failed", "no_answer", "abandoned", "talk", "wrapup"]
"""`human` and `machine`: who answered; `busy`, `failed`, `no_answer`: why there was no answer; `abandoned`: a person
answered and hung up before an agent was there; `talk`, `wrapup`: an agent's work of that kind has ended."""
