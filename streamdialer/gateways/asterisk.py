"""Asterisk as the one who places calls: asynchronous Originate actions over AMI, one per attempt.

The channel's id is made of the attempt's id, so that all its events name it. Asterisk answers an Originate before the
telephone rings; what became of the call, its events say (`streamdialer asterisk`). An answer that is lost is never
asked for again: the call may ring.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Self
from zlib import crc32

import anyio
from anyio.abc import TaskGroup

from streamdialer.config.ami_urls import parse_ami_urls
from streamdialer.config.settings import Settings
from streamdialer.errors import RefusedByServer
from streamdialer.gateways.ami.client import AmiClient
from streamdialer.gateways.ami.connection import LinkLost
from streamdialer.gateways.ami.messages import MAX_SENT_LINE, channel_id, encode, is_one_line, variable
from streamdialer.gateways.originate_reply import (
    CREDENTIALS_PAUSE_S,
    RETRY_AFTER_S,
    UNSENT_PAUSE_S,
    Hold,
    Reply,
    one_line,
)
from streamdialer.gateways.originate_request import OriginateRequest
from streamdialer.model import plain_id

ACTION_S: Final = 10.0
"""Longest wait for the answer to an Originate, which Asterisk gives at once."""
MAX_CALLER_ID: Final = 128
MAX_VARIABLE: Final = MAX_SENT_LINE - len("Variable: \r\n")
_NUMBER: Final = re.compile(r"\+?[0-9]{1,32}")
_TRUNK: Final = re.compile(r"[\w.-]{1,80}", re.ASCII)
_ASTERISKS: Final = re.compile(
    r"AMD|ATTENDED_?TRANSFER|BLINDTRANSFER|BRIDGE|CONNECTED_LINE_|DIAL(_|ED|STATUS)|DYNAMIC_|FORWARD|GOSUB_|GOTO_ON_"
    r"|LIMIT_|MACRO_|MEMBER|(TOUCH_)?(MIX)?MONITOR|OUTBOUND_GROUP|PARKING|PICKUPMARK|QE|QUEUE|REDIRECTING_|(PJ)?SIP"
    r"|SPYGROUP|TRANSFER"
)
"""Beginnings of variables that Asterisk's applications obey or set: Queue() runs MONITOR_EXEC in a shell."""
_NO_EXTENSION: Final = "extension does not exist"
_REFUSES_US: Final = re.compile(r"permission denied|access forbidden|authentication", re.IGNORECASE)


def read_refusal(text: str) -> Reply:
    """What an immediate `Response: Error` means: no call was placed.

    Such an error is about our log-in or the configuration, not about the person: the contact is kept, and all calls
    pause. https://docs.asterisk.org/Latest_API/API_Documentation/AMI_Actions/Originate/
    """
    if _REFUSES_US.search(text):
        detail = one_line(f"{text}; check write=originate of the AMI user in manager.conf")
        return Reply(
            verdict="not_placed", hold="credentials", retry_after_s=CREDENTIALS_PAUSE_S, detail=detail
        )
    if _NO_EXTENSION in text.lower():
        text += "; check STREAMDIALER_ASTERISK_CONTEXT and the dialplan"
    return Reply(verdict="not_placed", hold="api", retry_after_s=RETRY_AFTER_S, detail=one_line(text))


class Asterisk:
    """Async context manager; one link per server, for the life of the process."""

    service: Final = "asterisk"

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError."""
        addresses = parse_ami_urls(settings.asterisk_ami_url)
        self._clients = [AmiClient(address, events="system") for address in addresses]
        self._channel = settings.asterisk_channel
        self._context = settings.asterisk_context
        self._accepting: set[str] = set()
        """Servers whose dialplan has taken a number."""
        self._tasks: TaskGroup

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        for client in self._clients:
            self._tasks.start_soon(client.serve, name=f"AMI {client.name}")
            self._tasks.start_soon(_drain, client)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)

    @property
    def are_up(self) -> bool:
        """Whether every server is connected."""
        return all(client.is_up for client in self._clients)

    async def originate(self, call: OriginateRequest) -> Reply:
        """Asks for one call, once. Every trouble becomes a Reply; cancellation passes through.

        A cancelled action may have been sent: the caller treats it as unknown.
        """
        if not _NUMBER.fullmatch(call.phone_number):
            return Reply(verdict="never", detail="the number holds other characters than digits")
        if problem := self.problem_of(call.trunk, call.caller_id):  # changed since the tick that found none
            return Reply(verdict="not_placed", hold="campaign", retry_after_s=RETRY_AFTER_S, detail=problem)
        client = self._server_for(call.trunk, call.attempt_id)
        try:
            fields = self._fields(call)
            encode("Originate", call.attempt_id, fields)
        except ValueError as error:
            return Reply(verdict="never", detail=one_line(str(error)))
        try:
            await client.action("Originate", fields, action_id=call.attempt_id, timeout_s=ACTION_S)
        except RefusedByServer as error:
            if _NO_EXTENSION in str(error).lower() and await self._takes_others(client):
                return Reply(
                    verdict="never", detail=f"{self._context} in the dialplan does not take the number"
                )
            return read_refusal(str(error))
        except LinkLost as error:
            if error.was_sent:
                return Reply(verdict="unknown", detail=one_line(str(error)))
            hold: Hold = "credentials" if client.is_refused else "api"
            return Reply(
                verdict="not_placed", hold=hold, retry_after_s=UNSENT_PAUSE_S, detail=one_line(str(error))
            )
        except ValueError as error:  # the same attempt is being asked for
            return Reply(verdict="unknown", detail=one_line(str(error)))
        self._accepting.add(client.name)
        return Reply(verdict="placed")

    async def _takes_others(self, client: AmiClient) -> bool:
        """Whether the dialplan has taken other numbers, and still has its context: one number stops no campaign."""
        if client.name not in self._accepting:
            return False
        try:
            await client.list_answer("ShowDialPlan", {"Context": self._context})
        except (RefusedByServer, LinkLost):
            return False
        return True

    def _fields(self, call: OriginateRequest) -> dict[str, str | list[str]]:
        """Raises ValueError for an attempt id that no channel can have."""
        ours = {
            "ATTEMPT_ID": call.attempt_id,
            "CAMPAIGN_ID": plain_id(call.campaign),
            "CONTACT_ID": plain_id(call.contact),
            "SD_QUEUE": call.queue,
            **({"SD_AGENTLESS": "1"} if call.is_agentless else {}),
            **call.machine_variables,
        }
        fields: dict[str, str | list[str]] = {
            "Channel": self._channel.format(number=call.phone_number, trunk=call.trunk),
            "Context": self._context,
            "Exten": call.phone_number,
            "Priority": "1",
            "Timeout": str(round(call.ring_timeout_s * 1000)),
            "Async": "true",
            "ChannelId": channel_id(call.attempt_id),
            "Account": plain_id(call.campaign)[:80],
            "Variable": [
                *_variables_of_contact(call.variables),
                *(variable(f"__{name}", value) for name, value in ours.items()),
            ],
        }
        if call.caller_id:
            fields["CallerID"] = call.caller_id
        return fields

    def problem_of(self, trunk: str, caller_id: str) -> str:
        """Why no call of a campaign with these can be placed, '' when it can."""
        if "{trunk}" in self._channel and not trunk:
            return "trunk is missing, and STREAMDIALER_ASTERISK_CHANNEL needs one"
        if trunk and not _TRUNK.fullmatch(trunk):
            return f"trunk is {one_line(trunk)!r}, takes the name of an endpoint: letters, digits, - _ ."
        if not self._servers_with(trunk):
            return f"trunk is {one_line(trunk)!r}, and no server of ASTERISK_AMI_URL names it"
        if not is_one_line(caller_id) or len(caller_id) > MAX_CALLER_ID:
            return f"caller_id has a line break, or more than {MAX_CALLER_ID} characters"
        return ""

    def _servers_with(self, trunk: str) -> list[AmiClient]:
        named = [client for client in self._clients if trunk in client.address.trunks]
        return named or [client for client in self._clients if not client.address.trunks]

    def _server_for(self, trunk: str, attempt_id: str) -> AmiClient:
        """A server with the trunk, by the attempt: one that is up where there is one."""
        servers = self._servers_with(trunk)
        up = [client for client in servers if client.is_up] or servers
        return up[crc32(attempt_id.encode()) % len(up)]


def _variables_of_contact(variables: Mapping[str, str]) -> list[str]:
    """Those that AMI can carry and that are neither ours nor Asterisk's; one that cannot be sent costs no call."""
    found = []
    for name, value in variables.items():
        is_ours = name.startswith("SD_") or name in ("ATTEMPT_ID", "CAMPAIGN_ID", "CONTACT_ID")
        with suppress(ValueError):
            text = variable(f"__{name}", value)
            is_taken = is_ours or _ASTERISKS.match(name)
            if not is_taken and is_one_line(text) and len(text.encode()) < MAX_VARIABLE:
                found.append(text)
    return found


async def _drain(client: AmiClient) -> None:
    """Takes the messages of the link off their queue; `serve` logs what matters."""
    while True:
        await client.receive()
