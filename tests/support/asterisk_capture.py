"""What a real Asterisk 22 said over AMI, one call per outcome, as messages."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

from streamdialer.gateways.ami.messages import Decoder, Message

FOLDER: Final = Path(__file__).parent / "asterisk_traces"
_SUMMARY_LINE: Final = re.compile(
    r" +\+\d+\.\d+ (?P<event>\w+) (?:\[(?P<channel>[^\]]+)\] )?(?P<fields>\{.*\})"
)
_OF_QUEUES: Final = ("Queue", "Agent")
_TRUNK_CALL: Final = "PJSIP/trunk-out-00000001"


def whole_captures() -> dict[str, list[Message]]:
    """The captures that were kept in full, by their names."""
    captures: dict[str, list[Message]] = {}
    for path in sorted(FOLDER.glob("[012][0-9]-*.txt")):
        text = path.read_text()
        if path.name.startswith("00") or "(cut)" in text:
            continue
        lines = [
            re.sub(r"^\+\d+\.\d+ ", "\n", line).strip(" ")
            for line in text.splitlines()
            if not line.startswith(";")
        ]
        captures[path.stem] = read_rows("\n".join(lines))
    return captures


def summaries() -> dict[str, list[Message]]:
    """All captures, with only some fields of each event; ids and queues are filled in."""
    captures: dict[str, list[Message]] = {}
    for path in sorted(FOLDER.glob("00-*.txt")):
        name = ""
        for line in path.read_text().splitlines():
            if line.startswith("== "):
                name = line[3:].partition(":")[0]
                captures[name] = []
            elif name and (found := _SUMMARY_LINE.fullmatch(line)):
                captures[name].append(_of_summary(name, found, captures[name]))
    return captures


def read_rows(text: str) -> list[Message]:
    """The messages of a text with an empty line after each."""
    return list(Decoder().feed((text.strip() + "\n\n").encode()))


def attempt_of(name: str, messages: list[Message]) -> str:
    """The attempt's id among a capture's variables; '' when the call had no channel."""
    values = [each.get("Value") for each in messages if each.get("Variable").endswith("ATTEMPT_ID")]
    return values[0] if values else ""


def _of_summary(name: str, found: re.Match[str], before: list[Message]) -> Message:
    event, channel, fields = found["event"], found["channel"] or "", dict(ast.literal_eval(found["fields"]))
    uniqueid = f"sd-{name}"
    ours = {"Uniqueid": uniqueid, "Linkedid": uniqueid, "Channel": _TRUNK_CALL}
    if event.startswith("QueueMember"):
        ours = {"Interface": _agent_in(before) or "Local/1001@agents/n"}
    elif channel.startswith("Local/"):
        ours = {"Uniqueid": f"1795712910.{len(before)}", "Linkedid": uniqueid, "Channel": channel}
    elif event in ("DialBegin", "DialState", "DialEnd") and not channel:
        state = fields.pop("ChannelStateDesc", "Down")
        ours = {"DestUniqueid": uniqueid, "DestLinkedid": uniqueid, "DestChannelStateDesc": state}
    if event.startswith("Agent"):
        ours["Interface"] = _agent_in(before)
    if event.startswith(_OF_QUEUES):
        ours["Queue"] = "sales"
    if event == "UserEvent":
        ours["UserEvent"] = "SDAbandoned" if "QUEUESTATUS" in fields else "SDMachine"
    return Message.of(Event=event, **ours, **fields)


def _agent_in(before: list[Message]) -> str:
    """The interface of the agent whose channel was seen last."""
    names = [each.get("Channel") for each in before if each.get("Channel").startswith("Local/")]
    return f"{names[-1].rpartition('-')[0]}/n" if names else ""
