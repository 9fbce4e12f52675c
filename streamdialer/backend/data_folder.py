"""The data folder: the database, the secret key and the dialer's log-in, readable by its owner only."""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from streamdialer.config.private_file import write_private
from streamdialer.errors import CannotBeDone

DATABASE: Final = "backend.sqlite3"
_KEY: Final = "secret-key"
_LOCK: Final = "start.lock"


def read_secret_key(folder: Path) -> str:
    """The key that signs sessions and tokens; '' in a folder without one. Raises CannotBeDone."""
    path = folder / _KEY
    try:
        mode = path.stat().st_mode
        if mode & 0o077:
            raise CannotBeDone(f"{path}: other users can read it (mode {mode & 0o777:o}): chmod 600 {path}")
        return path.read_text("ascii").strip()
    except FileNotFoundError:
        return ""


@contextmanager
def prepared(folder: Path) -> Iterator[None]:
    """Inside, the folder exists with a secret key, and no other process prepares it. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / _KEY).exists():
            write_private(folder / _KEY, secrets.token_urlsafe(64))
        yield
