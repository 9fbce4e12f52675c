"""A scripted AMI server that has calls and queues to list."""

from __future__ import annotations

from tests.support.ami_server import AmiServer, text_of


class ScriptedAsterisk(AmiServer):
    """What it lists is what its fields say."""

    def __init__(self) -> None:
        super().__init__()
        self.started = "17:15:34"
        self.channels: dict[str, str] = {}
        """State of each channel, by the Uniqueid."""
        self.members: dict[tuple[str, str], str] = {("sales", "PJSIP/1001"): "1"}
        """Device state of each member, by queue and interface."""
        self.traces: dict[str, str] = {}
        """What its database has in the family `streamdialer`, by key."""
        self.answers |= {
            "CoreStatus": self._core,
            "Status": self._status,
            "QueueStatus": self._queues,
            "DBGet": self._trace,
        }

    def boot(self, uptime_s: int) -> None:
        """It says at the next log-in that it was started that long ago."""
        self.booted = text_of(Event="FullyBooted", Uptime=str(uptime_s), Status="Fully Booted")

    async def event(self, name: str, **fields: str) -> None:
        await self.send(text_of(Event=name, **fields))

    async def call_event(self, name: str, uniqueid: str, **fields: str) -> None:
        await self.event(name, Uniqueid=uniqueid, Linkedid=uniqueid, **fields)

    def _core(self, action: dict[str, str]) -> str:
        return text_of(
            Response="Success",
            ActionID=action["ActionID"],
            CoreStartupDate="2026-11-26",
            CoreStartupTime=self.started,
        )

    def _status(self, action: dict[str, str]) -> str:
        rows = [
            text_of(
                Event="Status",
                ActionID=action["ActionID"],
                Uniqueid=uniqueid,
                Linkedid=uniqueid,
                ChannelStateDesc=state,
            )
            for uniqueid, state in self.channels.items()
        ]
        return self._list(action, rows, "StatusComplete")

    def _queues(self, action: dict[str, str]) -> str:
        number = action["ActionID"]
        rows = [
            text_of(Event="QueueParams", ActionID=number, Queue=queue)
            for queue in sorted({queue for queue, _ in self.members})
        ]
        rows += [
            text_of(Event="QueueMember", ActionID=number, Queue=queue, Location=interface, Status=status)
            for (queue, interface), status in self.members.items()
        ]
        return self._list(action, rows, "QueueStatusComplete")

    def _trace(self, action: dict[str, str]) -> str:
        number, key = action["ActionID"], action["Key"]
        if key not in self.traces:
            return text_of(Response="Error", ActionID=number, Message="Database entry not found")
        row = text_of(Event="DBGetResponse", ActionID=number, Key=key, Val=self.traces[key])
        return self._list(action, [row], "DBGetComplete")

    @staticmethod
    def _list(action: dict[str, str], rows: list[str], complete: str) -> str:
        number = action["ActionID"]
        start = text_of(Response="Success", ActionID=number, EventList="start")
        return start + "".join(rows) + text_of(Event=complete, ActionID=number, EventList="Complete")
