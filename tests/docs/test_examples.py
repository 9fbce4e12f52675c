"""The examples of docs/events.md run: each writes to a real Redis what its text says, and the dialer can read it."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import anyio
import msgspec
import pytest
from redis.asyncio import Redis

from streamdialer.broker.entries import Entry
from streamdialer.consumers.event_entry import Event, read_event
from streamdialer.simulation.embedded_redis import EmbeddedServer

ROOT = Path(__file__).parents[2]


def example(heading: str, language: str, position: int = 0) -> str:
    """One code block of the section with that heading."""
    page = (ROOT / "docs/events.md").read_text("utf-8")
    section = re.split(r"^## ", page.split(f"\n## {heading}\n")[1], flags=re.MULTILINE)[0]
    blocks: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    return blocks[position]


async def run(command: list[str], environment: dict[str, str]) -> None:
    done = await anyio.run_process(command, env=environment, check=False, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout.decode()


async def events_in(redis: Redis) -> list[Event]:
    entries: Any = await redis.xrange("dialer:events")
    return [read_event(Entry(id=entry, fields=fields, deliveries=1)) for entry, fields in entries]


async def test_the_shells_lines_add_events_and_ticks(redis: Redis, environment: dict[str, str]) -> None:
    for block in (example("From a shell", "sh"), example("From a shell", "sh", 1), example("Ticks", "sh")):
        await run(["sh", "-euc", block], environment)
    answered, completed, available, busy, refused = await events_in(redis)
    assert msgspec.structs.asdict(answered).items() >= {"call_id": "abc123", "agent_id": "7"}.items()
    assert msgspec.structs.asdict(completed).items() >= {"contact_id": "123", "duration": 42}.items()
    assert (available.type, busy.type) == ("agent_available", "call_failed")
    assert msgspec.structs.asdict(refused)["cause"] == "SIP/2.0 486 Busy Here"
    ticks: Any = await redis.xrange("dialer:ticks")
    assert [fields["kind"] for _, fields in ticks] == ["dial", "dial"]


async def test_the_python_program_adds_events(redis: Redis, environment: dict[str, str]) -> None:
    await run([sys.executable, "-W", "error", "-c", example("From Python", "python")], environment)
    assert [event.type for event in await events_in(redis)] == [
        "call_answered",
        "call_completed",
        "agent_available",
    ]


def install(monkeypatch: pytest.MonkeyPatch, **modules: dict[str, Any]) -> None:
    """Stands in for packages that are no dependency of ours: `a__b` is the module a.b."""
    for name, contents in modules.items():
        module = ModuleType(name.replace("__", "."))
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, module.__name__, module)


async def test_the_django_receiver_writes_once_the_transaction_has_committed(
    redis: Redis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed: list[Any] = []
    install(
        monkeypatch,
        crm={},
        crm__models={"OptOut": SimpleNamespace},
        django={},
        django__conf={"settings": SimpleNamespace(REDIS_URL=server.url)},
        django__db={"transaction": SimpleNamespace(on_commit=committed.append)},
        django__db__models={},
        django__db__models__signals={"post_save": None},
        django__dispatch={"receiver": lambda signal, sender: lambda function: function},
    )
    names: dict[str, Any] = {}
    exec(compile(example("From Django", "python"), "django example", "exec"), names)
    names["stop_calling"](SimpleNamespace(phone_number="+573001234567"), created=True)
    assert await events_in(redis) == []
    await asyncio.to_thread(committed[0])
    (event,) = await events_in(redis)
    assert (
        msgspec.structs.asdict(event).items()
        >= {"type": "do_not_call", "phone_number": "+573001234567"}.items()
    )


async def test_the_fastapi_hook_writes_what_it_is_sent(
    redis: Redis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FastAPI:
        def __init__(self, lifespan: Any) -> None:
            self.lifespan, self.state = lifespan, SimpleNamespace()

        def post(self, path: str, status_code: int) -> Any:
            return lambda function: function

    install(monkeypatch, fastapi={"FastAPI": FastAPI, "Request": SimpleNamespace})
    monkeypatch.setenv("REDIS_URL", server.url)
    names: dict[str, Any] = {}
    exec(compile(example("From FastAPI", "python"), "fastapi example", "exec"), names)
    app = names["app"]
    async with app.lifespan(app):
        hook = {"campaign": 1, "contact": 123, "id": "abc123", "seconds": 42}
        await names["call_ended"](hook, SimpleNamespace(app=app))
    (event,) = await events_in(redis)
    assert msgspec.structs.asdict(event).items() >= {"type": "call_completed", "duration": 42}.items()
