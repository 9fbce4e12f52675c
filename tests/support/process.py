"""The command as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamdialer.simulation.servers.call_centre import CallCentre

SHUTDOWN_TIMEOUT_S = 4.0


@contextmanager
def process(
    centre: CallCentre, redis_url: str, cwd: Path, *args: str, **changes: str
) -> Iterator[subprocess.Popen[bytes]]:
    """`streamdialer …` as a process of its own, killed at the end if it still runs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMDIALER_")}
    environment |= {
        "REDIS_URL": redis_url,
        "BACKEND_URL": centre.backend.url,
        "DIALER_API_URL": centre.dialer_api.url,
        "STREAMDIALER_SHUTDOWN_TIMEOUT_S": str(SHUTDOWN_TIMEOUT_S),
        "STREAMDIALER_CLAIM_MIN_IDLE_S": "1",
        "STREAMDIALER_DIAL_INTERVAL_S": "0.3",
        "STREAMDIALER_AGENTS_CACHE_TTL_S": "0.2",
        "STREAMDIALER_REFILL_INTERVAL_S": "0.5",
        **changes,
    }
    log = cwd / f"{'-'.join(args)}.log"
    with log.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "streamdialer", *args], env=environment, cwd=cwd, stderr=output
        )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
