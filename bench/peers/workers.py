"""How each peer is started: one worker process, with the settings that made it fastest here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec


class Worker(msgspec.Struct, frozen=True):
    """A way to start a peer's worker."""

    peer: str
    """Its environment, its requirements file and its module of `bench.peers.apps`."""
    command: tuple[str, ...]
    """The first is a command of its environment."""
    variables: Mapping[str, str] = {}
    processes: int = 1


_APPS: Final = "bench.peers.apps"


def _celery(*options: str, processes: int = 1, prefetch: int = 64) -> Worker:
    quiet = ("--loglevel", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat")
    return Worker(
        "celery",
        ("celery", "--app", f"{_APPS}.celery_app", "worker", *quiet, *options),
        {"PREFETCH": str(prefetch)},
        processes,
    )


_TASKIQ: Final = ("taskiq", "worker", f"{_APPS}.taskiq_app:broker", "--workers", "1", "--log-level", "ERROR")
_DRAMATIQ: Final = ("dramatiq", f"{_APPS}.dramatiq_app", "--processes", "1", "--skip-logging")

WORKERS: Final[dict[str, Worker]] = {
    "celery solo": _celery("--pool", "solo"),
    "celery prefork 1": _celery("--pool", "prefork", "--concurrency", "1"),
    "celery prefork 2": _celery("--pool", "prefork", "--concurrency", "2", processes=2),
    "celery threads": _celery("--pool", "threads", "--concurrency", "8"),
    "celery gevent": _celery("--pool", "gevent", "--concurrency", "64", prefetch=4),
    "taskiq": Worker("taskiq", (*_TASKIQ, "--no-parse", "--max-async-tasks", "16", "--max-prefetch", "100")),
    "streaq": Worker("streaq", ("streaq", "run", f"{_APPS}.streaq_app:worker"), {"CONCURRENCY": "64"}),
    "dramatiq": Worker("dramatiq", (*_DRAMATIQ, "--threads", "32")),
    "arq": Worker("arq", ("arq", f"{_APPS}.arq_app.WorkerSettings"), {"CONCURRENCY": "16"}),
}
