"""Commands run in this process on the shared server, and what their results say."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as blocking
from anyio.from_thread import start_blocking_portal
from typer.testing import CliRunner, Result

from streamdialer.broker.keys import Keys
from streamdialer.cli import app
from streamdialer.config.settings import NAMES
from streamdialer.ledger.recovery import MARK_SERVER_TRUSTED
from streamdialer.simulation.embedded_redis import EmbeddedServer
from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.world.build import build_world

KEYS = Keys()
UNREACHABLE = "redis://127.0.0.1:1"
Run = Callable[..., Result]


@pytest.fixture
def clean_environment(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[None]:
    """No settings but those of the test; nothing listens at the HTTP addresses; logging is restored afterwards."""
    for name in NAMES.values():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REDIS_URL", server.url)
    monkeypatch.setenv("BACKEND_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("DIALER_API_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("LOG_FORMAT", "json")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    root, own = logging.getLogger(), logging.getLogger("streamdialer")
    before = root.handlers[:], root.level, own.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    own.setLevel(before[2])


@pytest.fixture
def db(server: EmbeddedServer) -> Iterator[Any]:
    """A client of the emptied server."""
    with blocking.Redis.from_url(server.url, decode_responses=True) as client:
        client.eval(MARK_SERVER_TRUSTED.source, 1, KEYS.server)
        yield client


@pytest.fixture
def run(db: Any, clean_environment: None) -> Run:
    """Runs a command in this process."""

    def invoke(*arguments: str, stdin: bytes | None = None) -> Result:
        result = CliRunner().invoke(app, list(arguments), input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return invoke


def ok(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def read(result: Result, code: int = 0) -> Any:
    """The one JSON document that standard output consists of."""
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def refused(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("Error: ")
    for word in words:
        assert word in result.stderr


def dead_letter_fields(original: dict[str, str]) -> dict[Any, Any]:
    letter = {
        "stream": "dialer:events",
        "entry": "1-0",
        "reason": "unknown_type",
        "detail": "type is 'x'",
        "deliveries": "1",
    }
    return letter | {f"={name}": value for name, value in original.items()}


def add_dead_letter(db: Any, **original: str) -> str:
    return str(db.xadd("dialer:dead", dead_letter_fields(original)))


@pytest.fixture
def centre(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[CallCentre]:
    """A simulated backend and Dialer API with one campaign, seven agents and twenty contacts."""
    world = build_world(agents=7, contacts=20, answer_rate=1.0)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(CallCentre(world, server.url, speed=50)) as opened,
    ):
        monkeypatch.setenv("BACKEND_URL", opened.backend.url)
        monkeypatch.setenv("DIALER_API_URL", opened.dialer_api.url)
        yield opened
