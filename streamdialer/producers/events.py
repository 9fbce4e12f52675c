"""`Producer`: other programs use it to add ticks and events, and to wait for the result of a tick."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

import anyio
import msgspec
from anyio.from_thread import BlockingPortal, start_blocking_portal
from redis.asyncio import Redis
from redis.exceptions import RedisError

from streamdialer.broker.connection import TRANSIENT, close, connect, keys_for
from streamdialer.broker.entries import BadEntry, Entry, StreamWriter, check_size
from streamdialer.broker.keys import Keys
from streamdialer.config.urls import mask_url
from streamdialer.errors import CannotBeDone, SettingsError, Unreachable
from streamdialer.model import (
    AGENT_EVENTS,
    CALL_EVENTS,
    CALLBACK_EVENTS,
    CONTACT_EVENTS,
    PREVIEW_EVENTS,
    QUEUE_EVENTS,
    SOURCE_EVENTS,
    TICK_KINDS,
    PreviewAnswer,
    TickKind,
    TickResult,
    normalise_id,
    plain_id,
)

EVENT_TYPES = (
    *CALL_EVENTS,
    *AGENT_EVENTS,
    *CALLBACK_EVENTS,
    *CONTACT_EVENTS,
    *PREVIEW_EVENTS,
    *SOURCE_EVENTS,
    *QUEUE_EVENTS,
)


class Producer:
    """Adds ticks and events; an async context manager.

    Raises SettingsError for what no consumer would understand, CannotBeDone when Redis refuses, and Unreachable when
    Redis does not answer. The entry may then have been added or not: you may safely add an event again.

    Example::

        from streamdialer import Producer

        async with Producer.from_url("redis://127.0.0.1:6379/0") as producer:
            await producer.event("call_answered", campaign_id=1, contact_id=123, call_id="abc123")
            tick = await producer.tick("dial", campaign_id=1)
            result = await producer.result(tick, timeout=1)
    """

    def __init__(self, client: Redis, keys: Keys, url: str = "") -> None:
        self._client = client
        self._keys = keys
        self._url = url
        self._writer = StreamWriter(client, keys)

    @classmethod
    def from_url(cls, url: str, namespace: str = "") -> Self:
        """`url` as REDIS_URL takes it; `namespace` as STREAMDIALER_NAMESPACE of the dialer says, '' for none.

        Nothing is sent yet. Raises SettingsError for an address that cannot be used.
        """
        return cls(connect(url), keys_for(url, namespace), url)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await close(self._client)

    async def tick(self, kind: TickKind, campaign_id: int | str) -> str:
        """Adds one tick, which runs the campaign once; returns its id, as in `1795731347872-0`.

        `dial` places calls, `retry` asks the backend for forgotten retries, `stats` writes statistics, `cleanup`
        removes the keys of a finished campaign.
        """
        if kind not in TICK_KINDS:
            raise SettingsError(f"tick kind: got {kind!r}, takes {', '.join(TICK_KINDS)}")
        try:
            campaign = normalise_id(campaign_id)
        except ValueError as error:
            raise SettingsError(f"campaign_id: {error}") from error
        with self._translated_errors():
            return await self._writer.add("ticks", {"kind": kind, "campaign_id": plain_id(campaign)})

    async def result(self, tick_id: str, timeout: float = 10) -> TickResult | None:
        """Waits at most `timeout` seconds for a tick's result; None when it is not there yet, or no longer.

        Results are kept for an hour (`STREAMDIALER_RESULT_TTL_S`).
        """
        deadline, pause_s = anyio.current_time() + timeout, 0.02
        while (raw := await self._stored(tick_id)) is None and anyio.current_time() < deadline:
            await anyio.sleep(min(pause_s, max(0.0, deadline - anyio.current_time())))
            pause_s = min(0.25, pause_s * 1.5)
        return None if raw is None else msgspec.json.decode(raw, type=TickResult)

    async def _stored(self, tick_id: str) -> str | None:
        with self._translated_errors():
            raw = await self._client.get(self._keys.tick(tick_id))
        return None if raw is None else str(raw)

    async def event(self, type: str, **data: Any) -> str:  # noqa: A002 - the documented name
        """Adds one event; returns its entry's id. `type` and `data` are those of docs/events.md.

        Raises SettingsError for a type that is not known and for an event of more than 64 kB.
        """
        return (await self.events([{"type": type, **data}]))[0]

    async def events(self, events: Sequence[Mapping[str, Any]]) -> list[str]:
        """Adds several events in one round trip; each is a mapping with `type` and the event's data."""
        entries = []
        for event in events:
            data = dict(event)
            kind = data.pop("type", None)
            if kind not in EVENT_TYPES:
                raise SettingsError(f"event type: got {kind!r}, takes {', '.join(EVENT_TYPES)}")
            entry = Entry("0-0", {"type": str(kind), "data": msgspec.json.encode(data).decode()})
            try:
                check_size(entry)
            except BadEntry as bad:
                raise SettingsError(f"event {kind}: {bad.detail}") from bad
            entries.append(entry.fields)
        with self._translated_errors():
            return await self._writer.add_many("events", entries)

    async def preview(
        self, campaign_id: int | str, agent_id: int | str, timeout: float = 10
    ) -> PreviewAnswer | None:
        """Requests the agent's next contact and waits for the answer; None when none comes within `timeout` seconds.

        The request then stands: asking again shows the same contact.
        """
        with self._translated_errors():
            newest: Any = await self._client.xrevrange(self._keys.previews, count=1)
        read = newest[0][0] if newest else "0-0"
        request = await self.event("preview_requested", campaign_id=campaign_id, agent_id=agent_id)
        deadline = anyio.current_time() + timeout
        while True:
            with self._translated_errors():
                entries: Any = await self._client.xrange(self._keys.previews, f"({read}")
            for entry, fields in entries:
                if fields["request"] == request:
                    data = msgspec.json.decode(fields["data"])
                    return msgspec.convert({**fields, "data": data}, PreviewAnswer)
                read = entry
            if anyio.current_time() >= deadline:
                return None
            await anyio.sleep(0.05)

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except TRANSIENT as error:
            raise Unreachable(f"Redis at {mask_url(self._url)} does not answer: {error}") from error
        except RedisError as error:
            raise CannotBeDone(f"Redis at {mask_url(self._url)} refuses: {error}") from error


class SyncProducer:
    """`Producer` for scripts and Django: the same methods, blocking; a context manager.

    Example::

        from streamdialer import SyncProducer

        with SyncProducer.from_url("redis://127.0.0.1:6379/0") as producer:
            producer.event("agent_available", agent_id=7, queue="sales")
    """

    def __init__(self, url: str, namespace: str = "") -> None:
        self._url = url
        self._namespace = namespace
        self._opened = ExitStack()
        self._portal: BlockingPortal | None = None
        self._producer: Producer | None = None

    @classmethod
    def from_url(cls, url: str, namespace: str = "") -> Self:
        """As `Producer.from_url`; the connection and its thread begin with the `with` block."""
        return cls(url, namespace)

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            self._portal = opened.enter_context(start_blocking_portal())
            producer = self._portal.call(Producer.from_url, self._url, self._namespace)
            self._producer = opened.enter_context(self._portal.wrap_async_context_manager(producer))
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._portal = self._producer = None
        self._opened.close()

    def tick(self, kind: TickKind, campaign_id: int | str) -> str:
        portal, producer = self._open()
        return portal.call(producer.tick, kind, campaign_id)

    def result(self, tick_id: str, timeout: float = 10) -> TickResult | None:
        portal, producer = self._open()
        return portal.call(producer.result, tick_id, timeout)

    def event(self, type: str, **data: Any) -> str:  # noqa: A002 - the documented name
        return self.events([{"type": type, **data}])[0]

    def events(self, events: Sequence[Mapping[str, Any]]) -> list[str]:
        portal, producer = self._open()
        return portal.call(producer.events, events)

    def preview(
        self, campaign_id: int | str, agent_id: int | str, timeout: float = 10
    ) -> PreviewAnswer | None:
        portal, producer = self._open()
        return portal.call(producer.preview, campaign_id, agent_id, timeout)

    def _open(self) -> tuple[BlockingPortal, Producer]:
        if self._portal is None or self._producer is None:
            raise SettingsError(
                "SyncProducer is used as a context manager: with SyncProducer.from_url(url) as p: …"
            )
        return self._portal, self._producer
