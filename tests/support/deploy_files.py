"""What every file of deploy/ is asked: are its commands there, and are there enough files."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from streamdialer.cli import app
from streamdialer.config.settings import Settings
from streamdialer.observability.http_port import MAX_CONNECTIONS

DEPLOY = Path(__file__).parents[2] / "deploy"


def arguments_are_known(arguments: list[str]) -> None:
    known = CliRunner().invoke(app, [*arguments, "--help"])
    assert known.exit_code == 0, known.output


def files_needed() -> int:
    settings = Settings()
    return 4 * (settings.calls_concurrency + settings.concurrency + MAX_CONNECTIONS)
