"""One call of ours in Asterisk: what was seen of it, in any order (pure)."""

from __future__ import annotations

import re
from typing import Final

from streamdialer.gateways.ami.messages import CHANNEL_ID_PREFIX, CHANNEL_ID_SUFFIX, Message, is_channel_id
from streamdialer.model import plain_id

_NUMBER: Final = re.compile(r"\d{4,}")
_IDS: Final = ("ATTEMPT_ID", "CAMPAIGN_ID", "CONTACT_ID")


def _trunk(channel: str) -> str:
    """How a channel reaches its number, without the number: `PJSIP/trunk-out`."""
    technology, _, rest = channel.partition("/")
    _, is_dialed, trunk = rest.rpartition("@")
    return f"{technology}/{_NUMBER.sub('…', trunk if is_dialed else rest.rpartition('-')[0] or rest)}"


class Call:
    """A channel that nobody else opened (Uniqueid = Linkedid)."""

    def __init__(self, uniqueid: str) -> None:
        self.uniqueid = uniqueid
        self.ids: dict[str, str] = {}
        self.trunk = ""
        self.has_channel = False
        self.rang = False
        self.up_at: float | None = None
        self.queue = ""
        self.agent_id = ""
        self.has_agent = False
        self.was_abandoned = False
        self.amd = ""
        """AMDSTATUS of the dialplan: MACHINE, HUMAN, NOTSURE or HANGUP."""
        self.on_machine = ""
        """What the dialplan does with a machine."""
        self.listening_since: float | None = None
        """Since when it has been listened to for a machine; its result is not known yet."""
        self.listened_until: float | None = None
        self.by_far_end = False
        self.hangup_at: float | None = None
        self.cause = self.sip = 0
        self.reasons: set[int] = set()
        self.failed_at: float | None = None
        """When an Originate with this id failed."""
        self.bridged_at: float | None = None
        """When a row of `Status` showed the queue's caller connected: AgentConnect comes soon, or was missed."""
        self.began_before = False
        """A row of `Status` showed it first: its earlier events were missed."""
        self.last_s = 0.0
        self.missing_since: float | None = None
        """Since when Asterisk's list has not shown it although no Hangup was seen."""
        self.is_laid_by = False
        """It is over, and waits to be forgotten."""
        self.said: set[str] = set()
        if is_channel_id(uniqueid):
            self._note_ids({"ATTEMPT_ID": uniqueid[len(CHANNEL_ID_PREFIX) : -len(CHANNEL_ID_SUFFIX)]})

    @property
    def is_ours(self) -> bool:
        return "CAMPAIGN_ID" in self.ids and "CONTACT_ID" in self.ids

    @property
    def is_over(self) -> bool:
        return self.hangup_at is not None

    @property
    def is_listened_to(self) -> bool:
        """Whether a machine is being looked for."""
        return self.listening_since is not None and self.listened_until is None

    @property
    def is_machine_alone(self) -> bool:
        """Whether a machine has answered that no agent will get."""
        return self.amd == "MACHINE" and self.on_machine != "agent"

    @property
    def name(self) -> str:
        """What `source_live` lists it as."""
        return self.ids.get("ATTEMPT_ID") or self.uniqueid

    def observe(self, message: Message, now_s: float, agent_id: str = "") -> None:
        """Takes over what an event, or a row of `Status`, says; `agent_id` is the agent it names."""
        self._note_ids(message.variables())
        self._note_ids({name: message.get(name) for name in _IDS})
        event, self.last_s, self.missing_since = message.event, now_s, None
        if event == "OriginateResponse":
            self._note_reply(message, now_s)
            return
        self.began_before = self.began_before or (event == "Status" and not self.has_channel)
        self.has_channel = True
        state = message.get("ChannelStateDesc")
        if not message.get("Uniqueid"):  # DialBegin, DialState, DialEnd: the call is the one that is dialed
            state = message.get("DestChannelStateDesc")
            self.rang = self.rang or message.get("DialStatus") in ("RINGING", "PROGRESS")
            state = "Up" if message.get("DialStatus") == "ANSWER" else state
        self.rang = self.rang or state == "Ringing"
        if state == "Up" and self.up_at is None:
            self.up_at = now_s
        self.trunk = self.trunk or _trunk(message.get("Channel") or message.get("DestChannel"))
        match event:
            case "Hangup":
                self.hangup_at = self.hangup_at or now_s
                self.cause, self.sip = message.number("Cause") or 0, message.number("TechCause") or 0
            case "HangupRequest":
                self.by_far_end = True
            case "QueueCallerJoin":
                self.queue = self.queue or message.get("Queue")
            case "QueueCallerAbandon":
                self.was_abandoned = True
            case "AgentConnect":
                self.has_agent, self.agent_id = True, agent_id
                self.queue = message.get("Queue") or self.queue
            case "VarSet":
                name, value = message.get("Variable").lstrip("_"), message.get("Value")
                self._note_ids({name: value})
                if name == "AMDSTATUS":
                    self._note_detection(value, now_s)
                elif name == "SD_ON_MACHINE":
                    self.on_machine = value
            case "UserEvent" if message.get("UserEvent") == "SDDetection":
                self.on_machine = message.get("SD_ON_MACHINE") or self.on_machine
                self._note_detection(message.get("AMDSTATUS"), now_s)
            case "UserEvent" if message.get("UserEvent") == "SDAbandoned":
                self.was_abandoned = True
            case "Status":
                self._note_row(message, now_s)

    def _note_ids(self, variables: dict[str, str]) -> None:
        for name in _IDS:
            if variables.get(name):
                self.ids.setdefault(name, variables[name])
        campaign, _, rest = self.ids.get("ATTEMPT_ID", "").partition(":")
        contact, is_id, _ = rest.partition(":")
        if campaign and contact and is_id:
            self.ids |= {"CAMPAIGN_ID": plain_id(campaign), "CONTACT_ID": plain_id(contact)}
        else:
            self.ids.pop("ATTEMPT_ID", None)  # an id of another program

    def _note_reply(self, message: Message, now_s: float) -> None:
        reason = message.number("Reason")
        if message.get("Response") == "Success":
            self.up_at = now_s if self.up_at is None else self.up_at
        elif reason is not None:
            self.reasons.add(reason)
            self.failed_at = self.failed_at or now_s
            self.trunk = self.trunk or _trunk(message.get("Channel"))

    def _note_detection(self, status: str, now_s: float) -> None:
        """Its result, '' when it begins."""
        if status:
            self.amd = self.amd or status
            self.listened_until = self.listened_until or now_s
        elif self.listening_since is None:
            self.listening_since = now_s

    def _note_row(self, message: Message, now_s: float) -> None:
        if message.get("Application") == "AMD":
            self._note_detection("", now_s)
        if message.get("Application") == "Queue" and self.up_at is not None:
            self.queue = self.queue or message.get("Data").partition(",")[0]
            if message.get("BridgeID") and self.bridged_at is None:
                self.bridged_at = now_s
