"""Outcomes are posted to an address: signed, in order per contact, until it takes them, and never to a private one."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import pytest
import redis as blocking
from aiohttp import web
from aiohttp.resolver import ThreadedResolver
from standardwebhooks import Webhook, WebhookVerificationError

from streamdialer.broker.connection import connect
from streamdialer.broker.keys import Keys
from streamdialer.broker.outcome_group import CONSUMER, OutcomeGroup
from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.consumers import webhook_posting, webhooks
from streamdialer.consumers.webhook_posting import backoff_s
from streamdialer.consumers.webhooks import WebhookDelivery, group_name
from streamdialer.errors import SettingsError
from streamdialer.gateways.webhook import (
    WebhookEndpoint,
    is_private,
    read_secrets,
    read_webhook_url,
)
from streamdialer.observability.metrics import PROCESS
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.cli import Run, refused
from tests.support.eventually import eventually

KEYS = Keys()
OLD, NEW = (f"whsec_{base64.b64encode(letter * 24).decode()}" for letter in (b"a", b"b"))
Answers = Callable[[dict[str, Any]], int]
pytestmark = pytest.mark.leaves(KEYS.outcomes)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_posting, "MIN_BACKOFF_S", 0.02)
    monkeypatch.setattr(webhooks, "PAUSE_S", 0.05)
    monkeypatch.setattr(webhooks, "BLOCK_MS", 50)


class Receiver:
    """Another program's web server: keeps what it has taken, and answers what it is told to."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.taken: list[tuple[Any, int]] = []
        """Contact and attempt."""
        self.answers: Answers = lambda data: 204
        self.headers: dict[str, str] = {}
        self.url = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Receiver]:
        app = web.Application()
        app.router.add_post("/calls", self._post)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/calls?key=1"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _post(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests.append((dict(request.headers), body))
        data = json.loads(body)["data"]
        status = self.answers(data)
        if status < 300:
            self.taken.append((data["contact_id"], data["attempt"]))
        return web.Response(status=status, headers=self.headers)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver().listening() as listening:
        yield listening


@asynccontextmanager
async def posting(
    redis_url: str, receiver: Receiver, *, secrets: str = OLD, retry_for_s: float = 86_400
) -> AsyncIterator[ShutdownSignal]:
    """One process that posts; it has read what there was when the block begins."""
    shutdown, client = ShutdownSignal(), connect(redis_url)
    endpoint = WebhookEndpoint(receiver.url, secrets, private_addresses=True, timeout_s=2, connections=8)
    group = OutcomeGroup(client, KEYS, group_name(receiver.url))
    await group.create("0")
    async with endpoint, anyio.create_task_group() as tasks:
        delivery = WebhookDelivery(group, endpoint, shutdown, retry_for_s=retry_for_s, stop_within_s=1)
        tasks.start_soon(delivery.run)
        yield shutdown
        shutdown.stop()
    await client.aclose()


def add(db: blocking.Redis, contact: int, attempt: int = 1, *, at: str = "*") -> str:
    data = {
        "attempt_id": f"7:{contact}:{attempt}",
        "campaign_id": 7,
        "contact_id": contact,
        "attempt": attempt,
    }
    return str(db.xadd(KEYS.outcomes, {"type": "attempt_ended", "data": json.dumps(data)}, id=at))


def counted(result: str) -> float:
    return PROCESS.get_sample_value("streamdialer_webhook_outcomes_total", {"result": result}) or 0.0


def pending(db: blocking.Redis, receiver: Receiver) -> int:
    return int(db.xpending(KEYS.outcomes, group_name(receiver.url))["pending"])


async def test_a_message_is_signed_with_every_secret_and_names_its_outcome(
    db: blocking.Redis, server: EmbeddedServer, receiver: Receiver
) -> None:
    entry = add(db, 1)
    async with posting(server.url, receiver, secrets=f"{OLD}, {NEW}"):
        await eventually(lambda: receiver.taken == [(1, 1)])
        await eventually(lambda: pending(db, receiver) == 0)
    headers, body = receiver.requests[0]
    for secret in (OLD, NEW):
        message = Webhook(secret).verify(body, headers)
        assert (message["type"], message["data"]["attempt_id"]) == ("attempt_ended", "7:1:1")
    assert headers["webhook-id"] == entry
    with pytest.raises(WebhookVerificationError):
        Webhook(base64.b64encode(b"c" * 24).decode()).verify(body, headers)


async def test_outcomes_of_a_contact_come_in_order_and_wait_for_no_other_contact(
    db: blocking.Redis, server: EmbeddedServer, receiver: Receiver
) -> None:
    failing = True
    receiver.answers = lambda data: 500 if failing and data["contact_id"] == 1 else 200
    for attempt in (1, 2, 3):
        add(db, 1, attempt)
    for contact in range(2, 20):
        add(db, contact)
    async with posting(server.url, receiver):
        await eventually(lambda: len(receiver.taken) == 18)
        assert {contact for contact, _ in receiver.taken} == set(range(2, 20))
        asked = len(receiver.requests)
        await eventually(lambda: len(receiver.requests) > asked + 1)
        ids = {headers["webhook-id"] for headers, body in receiver.requests if b'"contact_id":1,' in body}
        assert len(ids) == 1, "the next outcome of a contact waits for the one before it"
        failing = False
        await eventually(lambda: len(receiver.taken) == 21)
    assert receiver.taken[18:] == [(1, 1), (1, 2), (1, 3)]


async def test_an_outcome_that_is_not_taken_for_a_day_is_given_up_and_counted(
    db: blocking.Redis, server: EmbeddedServer, receiver: Receiver
) -> None:
    receiver.answers = lambda data: 500 if data["attempt"] == 1 else 200
    dead, taken = counted("dead"), counted("delivered")
    now_ms = int(db.time()[0]) * 1000
    add(db, 1, 1, at=f"{now_ms - 2 * 86_400_000}-0")
    add(db, 2, 1, at=f"{now_ms - 3_600_000}-0")
    add(db, 1, 2)
    async with posting(server.url, receiver):
        await eventually(lambda: receiver.taken == [(1, 2)])
        await eventually(lambda: len(receiver.requests) > 5)
        assert (counted("dead"), counted("delivered")) == (dead + 1, taken + 1)
        assert pending(db, receiver) == 1, "one that is an hour old is posted again"


async def test_what_a_killed_process_held_comes_again_and_unreadable_entries_cost_no_other(
    db: blocking.Redis, server: EmbeddedServer, receiver: Receiver
) -> None:
    first = add(db, 1)
    broken: list[dict[Any, Any]] = [
        {"type": "attempt_ended", "data": "{"},
        {"data": "{}"},
        {"type": "attempt_ended"},
    ]
    for fields in broken:
        db.xadd(KEYS.outcomes, fields)
    add(db, 2)
    db.xgroup_create(KEYS.outcomes, group_name(receiver.url), id="0")
    db.xreadgroup(group_name(receiver.url), CONSUMER, {KEYS.outcomes: ">"}, count=2)
    async with posting(server.url, receiver):
        await eventually(lambda: sorted(receiver.taken) == [(1, 1), (2, 1)])
        await eventually(lambda: pending(db, receiver) == 0)
    assert receiver.requests[0][0]["webhook-id"] == first


async def test_an_outcome_is_as_old_as_the_clock_of_redis_says(
    db: blocking.Redis, server: EmbeddedServer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.answers = lambda data: 204 if len(receiver.requests) > 1 else 500
    dead, now = counted("dead"), time.time
    monkeypatch.setattr(time, "time", lambda: now() + 90_000)  # this machine's clock is a day fast
    async with posting(server.url, receiver):
        add(db, 1)
        await eventually(lambda: receiver.taken == [(1, 1)])
    assert counted("dead") == dead


async def test_of_two_processes_one_posts_and_the_other_takes_over(
    db: blocking.Redis, server: EmbeddedServer, receiver: Receiver
) -> None:
    async with posting(server.url, receiver) as first:
        add(db, 1)
        await eventually(lambda: receiver.taken == [(1, 1)])
        async with posting(server.url, receiver):
            for contact in range(2, 30):
                add(db, contact)
            await eventually(lambda: len(receiver.taken) == 29)
            first.stop()
            for contact in range(30, 40):
                add(db, contact)
            await eventually(lambda: len(receiver.taken) == 39)
    assert len(receiver.requests) == 39


async def test_a_redis_that_goes_away_is_waited_for(receiver: Receiver) -> None:
    def has_come(contact: int) -> bool:
        return (contact, 1) in receiver.taken

    with EmbeddedServer(tcp=True, appendonly=True) as own:
        async with posting(own.url, receiver):
            for contact in (1, 2):
                with blocking.Redis.from_url(own.url, decode_responses=True) as client:
                    add(client, contact)
                    await eventually(partial(has_come, contact))
                if contact == 1:
                    own.kill()
                    own.restart()


@pytest.mark.parametrize("status", [301, 307, 404, 410, 500])
async def test_any_answer_but_2xx_is_a_refusal_and_a_redirect_is_not_followed(
    receiver: Receiver, status: int
) -> None:
    receiver.answers = lambda data: status
    receiver.headers = {"location": receiver.url}
    async with WebhookEndpoint(
        receiver.url, OLD, private_addresses=True, timeout_s=2, connections=1
    ) as endpoint:
        answer = await endpoint.send("1-0", b'{"data": {}}')
    assert not answer.is_taken
    assert answer.detail.startswith(f"HTTP {status}")
    assert len(receiver.requests) == 1


async def test_a_server_that_asks_for_a_pause_gets_one(receiver: Receiver) -> None:
    receiver.answers, receiver.headers = lambda data: 429, {"retry-after": "7"}
    async with WebhookEndpoint(
        receiver.url, OLD, private_addresses=True, timeout_s=2, connections=1
    ) as endpoint:
        assert (await endpoint.send("1-0", b'{"data": {}}')).pause_s == 7


async def test_a_name_that_leads_to_this_machine_is_not_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check is where the connection is made: no name passes it by changing its address later."""

    async def resolve(_: ThreadedResolver, host: str, port: int, family: Any) -> list[dict[str, Any]]:
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 6, "flags": 0}]

    monkeypatch.setattr(ThreadedResolver, "resolve", resolve)
    url = receiver.url.replace("127.0.0.1", "crm.example")
    async with WebhookEndpoint(url, OLD, private_addresses=False, timeout_s=2, connections=1) as endpoint:
        answer = await endpoint.send("1-0", b'{"data": {}}')
    assert not answer.is_taken
    assert answer.detail.startswith("crm.example is an address of a private network")
    assert not receiver.requests


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *(
            "::1",
            "::",
            "fe80::1%eth0",
            "fd00::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "224.0.0.1",
        ),
    ],
)
def test_these_addresses_are_private(host: str) -> None:
    assert is_private(host)
    shown = f"[{host}]" if ":" in host else host
    with pytest.raises(SettingsError, match="private network"):
        WebhookEndpoint(f"http://{shown}/", OLD, private_addresses=False, timeout_s=1, connections=1)


@pytest.mark.parametrize(
    "host", ["93.184.215.14", "2606:2800:21f:cb07::1", "64:ff9b::808:808", "crm.example"]
)
def test_these_are_not(host: str) -> None:
    assert not is_private(host)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "crm.example",
        "ftp://crm.example/",
        "http:///x",
        "https://u:p@crm.example/",
        "https://a b/",
        "https://a/#x",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="STREAMDIALER_WEBHOOKS_URL"):
        read_webhook_url(url)


@pytest.mark.parametrize("secrets", ["", "secret", "whsec_c2hvcnQ=", f"{OLD},whsec_ä", f"{OLD},short"])
def test_a_secret_that_is_none_is_refused_and_not_shown(secrets: str) -> None:
    with pytest.raises(SettingsError, match="STREAMDIALER_WEBHOOKS_SECRETS") as refusal:
        read_secrets(secrets)
    assert "short" not in str(refusal.value)
    assert OLD not in str(refusal.value)


def test_pauses_grow_to_five_minutes() -> None:
    assert 0.8 * 0.02 <= backoff_s(1) <= 1.2 * 0.02
    assert 0.8 * 300 <= backoff_s(40) <= 1.2 * 300
    assert backoff_s(10_000) <= 360


def test_the_command_needs_an_address_and_a_secret(run: Run) -> None:
    refused(run("webhooks"), 2, "STREAMDIALER_WEBHOOKS_URL", "https://host/path")
    refused(run("webhooks", "--url", "https://crm.example/"), 2, "STREAMDIALER_WEBHOOKS_SECRETS", "whsec_")
    refused(run("webhooks", "--url", "http://127.0.0.1/", "--secret", OLD), 2, "private network")
