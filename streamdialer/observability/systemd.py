"""Datagrams that tell systemd the state of the process (`Type=notify`, `WatchdogSec=`), see sd_notify(3)."""

from __future__ import annotations

import os
import socket


def is_listening() -> bool:
    """Whether the service manager waits for notifications."""
    return bool(os.environ.get("NOTIFY_SOCKET"))


def notify(state: str) -> None:
    """Sends one state, such as `READY=1`; raises OSError."""
    address = os.environ["NOTIFY_SOCKET"]
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.sendto(state.encode(), address)


def watchdog_s() -> float | None:
    """After how many seconds of silence the service manager kills this process; None when it does not watch it."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdecimal() and int(microseconds) else None
