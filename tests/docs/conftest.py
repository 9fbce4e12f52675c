"""The commands that examples for a shell use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from streamdialer.simulation.embedded_redis import EmbeddedServer

ROOT = Path(__file__).parents[2]
REDIS_CLI = """#!{python}
import sys
from redis import Redis
assert sys.argv[1] == "-u"
print(Redis.from_url(sys.argv[2], decode_responses=True).execute_command(*sys.argv[3:]))
"""


@pytest.fixture
def environment(tmp_path: Path, server: EmbeddedServer) -> dict[str, str]:
    """REDIS_URL, and a PATH with `streamdialer` and `redis-cli`."""
    commands = {
        "redis-cli": REDIS_CLI.format(python=sys.executable),
        "streamdialer": f'#!/bin/sh\nexec {sys.executable} -m streamdialer "$@"\n',
    }
    for name, source in commands.items():
        (tmp_path / name).write_text(source)
        (tmp_path / name).chmod(0o755)
    return {
        **os.environ,
        "REDIS_URL": server.url,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
