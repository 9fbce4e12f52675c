"""The service manager's end of the notify socket."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path


class Manager:
    """The service manager's end of `NOTIFY_SOCKET`."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(15)
        self.heard: list[str] = []

    def hear(self, wanted: str, times: int = 1) -> None:
        """Waits until the message has come that often."""
        while self.heard.count(wanted) < times:
            self.heard.append(self.socket.recv(100).decode())

    def drain(self) -> None:
        """Reads the messages that have come already."""
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard.append(self.socket.recv(100).decode())
