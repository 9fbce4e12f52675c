"""The files of examples/ run, and do what docs/examples.md says of them."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import httpx
import pytest
from redis.asyncio import Redis

from streamdialer.config.settings import Settings
from streamdialer.gateways.backend import Backend, ContactPatch
from streamdialer.operations.session import free_port
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.eventually import wait_until

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NODE = shutil.which("node")


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The handler behind an address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def types_written(redis: Redis) -> list[str]:
    entries: Any = await redis.xrange("dialer:events")
    return [fields["type"] for _, fields in entries]


def test_the_page_lists_every_file() -> None:
    listed = re.findall(r"^\| \[([\w.]+)\]", (ROOT / "docs/examples.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in EXAMPLES.iterdir() if path.is_file())


@pytest.mark.leaves("campaign:7")
def test_django_starts_a_campaign_and_notes_who_must_not_be_called(db: Any, server: EmbeddedServer) -> None:
    port = free_port()
    command = [sys.executable, str(EXAMPLES / "django_view.py"), "runserver", "--noreload", str(port)]
    environment = os.environ | {"REDIS_URL": server.url, "PYTHONPATH": str(ROOT)}
    url = f"http://127.0.0.1:{port}"
    quiet = subprocess.DEVNULL
    with (
        subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet) as django,
        httpx.Client(base_url=url) as http,
    ):
        try:
            wait_until(lambda: answers(url))
            assert http.post("/campaigns/7/active/").json() == {"status": "active"}
            assert http.post("/campaigns/7/cancelled/").status_code == 400
            assert http.get("/campaigns/7/").json() == {"status": "active"}
            assert http.post("/opt-out/", data={"phone_number": "+573001234567"}).status_code == 202
        finally:
            django.kill()
    assert [fields["type"] for _, fields in db.xrange("dialer:events")] == ["do_not_call"]


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/campaigns/1/").status_code == 200
    except httpx.TransportError:
        return False


async def test_fastapi_turns_webhooks_into_events(
    redis: Redis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", server.url)
    app = loaded("fastapi_service").app
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://here") as http,
    ):
        hook: dict[str, Any] = {"campaign": 1, "contact": 123, "call": "abc123"}
        for state in ("ringing", "answered", "ended", "failed"):
            assert (await http.post("/hooks/calls", json=hook | {"state": state})).status_code == 204
        assert (await http.post("/hooks/calls", json=hook | {"state": "other"})).status_code == 422
    assert await types_written(redis) == ["call_ringing", "call_answered", "call_completed", "call_failed"]


@pytest.mark.leaves("campaign:7")
async def test_the_shell_starts_a_campaign_and_writes_events_and_a_tick(
    redis: Redis, environment: dict[str, str]
) -> None:
    done = await anyio.run_process(["sh", str(EXAMPLES / "shell.sh"), "7"], env=environment)
    tick: Any = await redis.xrange("dialer:ticks")
    assert f"streamdialer result {tick[0][0]}".encode() in done.stdout
    assert await redis.hget("campaign:7", "status") == "active"
    assert await types_written(redis) == ["agent_available", "call_answered", "call_completed"]


@pytest.mark.skipif(NODE is None, reason="there is no Node: install the package nodejs")
async def test_node_writes_events(redis: Redis, server: EmbeddedServer) -> None:
    command = [str(NODE), str(EXAMPLES / "xadd.mjs")]
    done = await anyio.run_process(command, env=os.environ | {"REDIS_URL": server.url})
    assert len(done.stdout.split()) == 2
    assert await types_written(redis) == ["call_answered", "call_completed"]


async def test_the_backend_in_a_hundred_lines_answers_what_the_dialer_asks() -> None:
    assert len((EXAMPLES / "own_backend.py").read_text("utf-8").splitlines()) <= 100
    example = loaded("own_backend")
    example.CONTACTS[9]["priority"] = 9
    with serving(example.Handler) as url:
        async with Backend(Settings(backend_url=url)) as backend:
            assert (await backend.campaign("1")).queue_name == "sales"
            assert [agent.is_free for agent in (await backend.agents("sales")).agents] == [True, True]
            pages = [page async for page in backend.pending("1", 8)]
            read = [int(contact.id) for page in pages for contact in page.contacts]
            assert read == [9, *(number for number in range(1, 21) if number != 9)]
            patch = ContactPatch(status="busy", attempts=1, last_attempt="2026-03-02T09:14:31+00:00")
            await backend.patch_contact("9", patch)
            assert example.CONTACTS[9]["status"] == "busy"


def test_grafana_gets_the_dashboard_with_the_token() -> None:
    asked: list[Any] = []

    class Grafana(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append((self.path, self.headers["authorization"], body))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"url": "/d/streamdialer"}')

    with serving(Grafana) as url:
        environment = os.environ | {"GRAFANA_URL": f"{url}/", "GRAFANA_TOKEN": "secret"}
        command = [sys.executable, str(EXAMPLES / "grafana_import.py")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    [(path, authorization, body)] = asked
    assert (path, authorization) == ("/api/dashboards/db", "Bearer secret")
    assert (body["overwrite"], body["dashboard"]["uid"]) == (True, "streamdialer")
    assert done.stdout == "imported: /d/streamdialer\n"


def test_the_rehearsal_of_the_tutorial_calls_the_list_of_the_backend(
    db: Any, server: EmbeddedServer, tmp_path: Path
) -> None:
    block = re.search(
        r"```sh\nredis-server .*?```", (ROOT / "docs/tutorial.md").read_text("utf-8"), re.DOTALL
    )
    assert block is not None
    text = block[0].replace('"speed": 10', '"speed": 120')
    for port in re.findall(r"\b800\d\b", text):
        text = text.replace(port, str(free_port()))
    programs = [shlex.split(line[:-1]) for line in text.splitlines() if line.endswith(" &")]
    settings = dict(re.findall(r"\b([A-Z_]+)=(\S+)", text)) | {"REDIS_URL": server.url}
    environment = os.environ | settings | {"PYTHONPATH": str(ROOT)}
    words = {"python": [sys.executable], "streamdialer": [sys.executable, "-m", "streamdialer"]}
    with ExitStack() as stack:
        for name, *arguments in programs:
            if name in words:
                child = subprocess.Popen(
                    [*words[name], *arguments], env=environment, cwd=ROOT, stderr=subprocess.DEVNULL
                )
                stack.callback(child.wait)
                stack.callback(child.kill)
        for url in (settings["BACKEND_URL"], settings["DIALER_API_URL"]):
            wait_until(partial(listens, url), within_s=30)
        db.hset("campaign:1", "status", "active")
        wait_until(lambda: contacts_called(db) != set(), within_s=60)
    assert contacts_called(db) <= set(range(1, 21))


def contacts_called(db: Any) -> set[int]:
    """From the outcomes, which stay: an applied event leaves its stream at once."""
    outcomes = [json.loads(fields["data"]) for _, fields in db.xrange("dialer:outcomes")]
    return {int(outcome["contact_id"]) for outcome in outcomes}


def listens(url: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) == 0
