"""Telephones behind the trunk `trunk-out`, for tests: a SIP server whose callees do what the last digit says.

It runs beside Asterisk in its container, with nothing but Python, and writes what each callee saw as a line of JSON to
standard output: the truth that events are compared with.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import sys
import time
from typing import cast

ADDRESS = ("127.0.0.1", 5070)
SILENT = ("127.0.0.1", 5071)
"""Of the trunk that takes requests and never answers."""
REFUSALS = {
    "0": (486, "Busy Here"),
    "1": (603, "Decline"),
    "3": (404, "Not Found"),
    "4": (503, "Service Unavailable"),
}
RINGS_FOR_EVER = "2"
MACHINE = "6"
TALK_S = {"5": 6.0, MACHINE: 12.0, "7": 0.8, "8": 0.1, "9": 6.0}
"""Until the callee hangs up: 5 sounds like a person, 6 like a machine (it speaks for three seconds, then listens), 7
and 8 are impatient, 9 does not ring first."""
RING_S = 0.3


def note(number: str, what: str) -> None:
    sys.stdout.write(json.dumps({"at": round(time.time(), 3), "number": number, "what": what}) + "\n")
    sys.stdout.flush()


def header(message: str, name: str) -> str:
    found = re.search(rf"^{name}:[ ]*(.*)\r$", message, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def vias(message: str) -> str:
    return "".join(f"{line}\r\n" for line in re.findall(r"^Via:[^\r]*", message, re.MULTILINE))


class Callee:
    """One call at a callee."""

    def __init__(self, phone: Phones, invite: str, peer: tuple[str, int]) -> None:
        self._phone, self._invite, self._peer = phone, invite, peer
        self.number = re.match(r"INVITE sip:([^@;> ]*)", invite)[1]  # type: ignore[index]
        self._tag = f"callee-{id(self):x}"
        self.is_up = self.is_over = False
        self._ear = Ear()

    def answer(self, code: int, reason: str, *, request: str = "", sdp: str = "") -> None:
        request = request or self._invite
        body = (
            f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n\r\n{sdp}"
            if sdp
            else "Content-Length: 0\r\n\r\n"
        )
        self._phone.send(
            f"SIP/2.0 {code} {reason}\r\n{vias(request)}From: {header(request, 'From')}\r\n"
            f"To: {self._own(request)}\r\nCall-ID: {header(request, 'Call-ID')}\r\nCSeq: {header(request, 'CSeq')}\r\n"
            f"Contact: <sip:{self.number}@{ADDRESS[0]}:{ADDRESS[1]}>\r\n{body}",
            self._peer,
        )

    def _own(self, request: str) -> str:
        to = header(request, "To")
        return to if ";tag=" in to else f"{to};tag={self._tag}"

    async def live(self) -> None:
        caller = re.search("sip:([^@]*)@", header(self._invite, "From"))
        note(self.number, f"FROM {caller[1] if caller else ''}")
        note(self.number, "INVITE")
        last = self.number[-1]
        if last in REFUSALS:
            note(self.number, f"END {REFUSALS[last][0]}")
            self.answer(*REFUSALS[last])
            return
        media = re.search(r"m=audio (\d+) \S+ ([\d ]+)", self._invite)
        if media is None or "0" not in media[2].split():
            self.answer(180, "Ringing")
            note(self.number, "END 488")
            self.answer(488, "Not Acceptable Here")
            return
        if last != "9":
            self.answer(180, "Ringing")
        if last == RINGS_FOR_EVER:
            return
        await asyncio.sleep(RING_S)
        if self.is_over:
            return
        loop = asyncio.get_running_loop()
        voice, _ = await loop.create_datagram_endpoint(lambda: self._ear, local_addr=(ADDRESS[0], 0))
        port = voice.get_extra_info("sockname")[1]
        sdp = f"v=0\r\no=- 1 1 IN IP4 {ADDRESS[0]}\r\ns=-\r\nc=IN IP4 {ADDRESS[0]}\r\nt=0 0\r\n"
        sdp += f"m=audio {port} RTP/AVP 0\r\n"
        self.is_up = True
        note(self.number, "ANSWER")
        self.answer(200, "OK", sdp=sdp)
        talking = loop.create_task(talk(voice, int(media[1]), 3.0 if last == MACHINE else 0.5))
        await asyncio.sleep(TALK_S[last])
        talking.cancel()
        voice.close()
        if not self.is_over:
            self.is_over = True
            note(self.number, "END own BYE")
            self._phone.send(
                f"BYE {re.search('<([^>]*)>', header(self._invite, 'Contact'))[1]} SIP/2.0\r\n"  # type: ignore[index]
                f"Via: SIP/2.0/UDP {ADDRESS[0]}:{ADDRESS[1]};branch=z9hG4bK{self._tag}\r\n"
                f"From: {self._own(self._invite)}\r\n"
                f"To: {header(self._invite, 'From')}\r\nCall-ID: {header(self._invite, 'Call-ID')}\r\nCSeq: 1 BYE\r\n"
                "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
                self._peer,
            )

    def end(self, method: str, request: str) -> None:
        self.answer(200, "OK", request=request)
        if self.is_over:
            return
        self.is_over = True
        if self.number[-1] == MACHINE:
            note(self.number, f"HEARD {self._ear.packets / 50:.1f}")
        note(self.number, f"END {method}")
        if method == "CANCEL":
            self.answer(487, "Request Terminated")


class Ear(asyncio.DatagramProtocol):
    """Counts packets of sound, 20 ms each."""

    packets = 0

    def datagram_received(self, _data: bytes, _peer: tuple[str, int]) -> None:
        self.packets += 1


async def talk(voice: asyncio.DatagramTransport, port: int, voice_s: float) -> None:
    """Sends a tone for some seconds and then silence, as RTP with G.711 (µ-law)."""
    began = asyncio.get_running_loop().time()
    for packet in range(10_000):
        sound = VOICE if packet * 0.02 < voice_s else SILENCE
        head = bytes([0x80, 0]) + packet.to_bytes(2, "big") + (packet * 160).to_bytes(4, "big") + b"call"
        voice.sendto(head + sound, (ADDRESS[0], port))
        await asyncio.sleep(max(0.0, began + (packet + 1) * 0.02 - asyncio.get_running_loop().time()))


def mu_law(sample: int) -> int:
    sign, level = (0x80 if sample < 0 else 0), min(abs(sample), 32635) + 132
    exponent = level.bit_length() - 8
    return ~(sign | (exponent << 4) | ((level >> (exponent + 3)) & 0x0F)) & 0xFF


VOICE = bytes(mu_law(round(8000 * math.sin(2 * math.pi * 400 * at / 8000))) for at in range(160))
SILENCE = bytes(mu_law(0) for _ in range(160))
"""20 ms of each; the tone has whole periods in it."""


class Phones(asyncio.DatagramProtocol):
    """All callees."""

    def __init__(self) -> None:
        self._callees: dict[str, Callee] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def send(self, text: str, peer: tuple[str, int]) -> None:
        assert self._transport is not None
        self._transport.sendto(text.encode(), peer)

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        message = data.decode()
        method, call_id = message.partition(" ")[0], header(message, "Call-ID")
        callee = self._callees.get(call_id)
        if method == "INVITE" and callee is None:
            callee = self._callees[call_id] = Callee(self, message, peer)
            task = asyncio.get_running_loop().create_task(callee.live())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif method in ("BYE", "CANCEL") and callee is not None:
            callee.end(method, message)


async def main() -> None:
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(Phones, local_addr=ADDRESS)
    await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=SILENT)
    await asyncio.Event().wait()


asyncio.run(main())
