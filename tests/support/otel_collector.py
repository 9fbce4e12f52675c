"""For tests of traces: a collector that decodes OTLP, the servers around the dialer, and replicas."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.eventually import eventually

PHONE: Final = "+15550123987"
WRITER: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
"""The `traceparent` of another program."""
WITHIN_S: Final = 30.0
"""Enough for real processes to start; measures nothing."""


class Step(msgspec.Struct, frozen=True):
    """A span as the collector got it; ids are hexadecimal."""

    process: str
    name: str
    trace: str
    id: str
    parent: str
    links: list[tuple[str, str]]
    attributes: dict[str, Any]
    is_error: bool

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace}-{self.id}-01"


def _value(of: Any) -> Any:
    return getattr(of, of.WhichOneof("value"))


class Collector:
    """Takes OTLP over HTTP, protobuf."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.raw: list[bytes] = []
        self.status = 200
        self.pause_s = 0.0

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        await anyio.sleep(self.pause_s)
        if self.status != 200:
            return web.Response(status=self.status)
        self.raw.append(body)
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = {one.key: _value(one.value) for one in of_resource.resource.attributes}
            assert resource["service.name"] == "streamdialer"
            for scope in of_resource.scope_spans:
                self.steps += [_step(str(resource["service.instance.id"]), span) for span in scope.spans]
        return web.Response()

    def named(self, name: str, trace: str = "") -> list[Step]:
        return [one for one in self.steps if one.name == name and trace in ("", one.trace)]

    async def one(self, name: str, trace: str = "") -> Step:
        """Waits for the only span of this name."""
        await eventually(lambda: self.named(name, trace), what=f"{name} in {[s.name for s in self.steps]}")
        (found,) = self.named(name, trace)
        return found


def _step(process: str, span: Any) -> Step:
    return Step(
        process=process,
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        attributes={one.key: _value(one.value) for one in span.attributes},
        is_error=span.status.code == 2,
    )


class Outside:
    """Backend and Dialer API: one campaign, one contact, one agent; and the requests they got, with their traces."""

    def __init__(self) -> None:
        self.mode = "progressive"
        self.agent = "available"
        self.contact = "pending"
        self.asked: list[tuple[str, str, str]] = []
        """Method and path, status written, `traceparent`."""

    async def answer(self, request: web.Request) -> web.Response:
        trace = request.headers.get("traceparent", "")
        body = msgspec.json.decode(await request.read()) if request.can_read_body else {}
        status = body.get("status", "") if isinstance(body, dict) else ""
        self.asked.append((f"{request.method} {request.path}", status, trace))
        match request.method, request.path:
            case "POST", "/calls/originate":
                return web.json_response({"status": "success"})
            case "GET", "/api/campaigns/1/":
                return web.json_response({"dial_mode": self.mode, "queue_name": "sales"})
            case "GET", "/api/queues/sales/agents/":
                return web.json_response([{"id": 7, "status": self.agent}])
            case "GET", "/api/contacts/":
                found = [{"id": 5, "campaign_id": 1, "phone_number": PHONE, "status": "pending"}]
                is_wanted = request.query["status"] == self.contact == "pending"
                return web.json_response(found if is_wanted else [])
            case "PATCH", "/api/contacts/5/":
                self.contact = status
                return web.json_response({})
        return web.Response(status=404)

    def traces_of(self, what: str, status: str = "") -> list[str]:
        return [trace for asked, said, trace in self.asked if asked == what and status in ("", said)]


@contextmanager
def replica(
    name: str, redis_url: str, outside_url: str, log: Path, stages: str = "", **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A real process, told to stop at the end; its log is written to `log`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    own = {
        "REDIS_URL": redis_url,
        "BACKEND_URL": outside_url,
        "DIALER_API_URL": outside_url,
        "STREAMDIALER_READ_BLOCK_S": "0.1",
        "STREAMDIALER_AGENTS_CACHE_TTL_S": "0.2",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }
    command = [sys.executable, "-m", "streamdialer", "consume", "--name", name]
    command += ["--stages", stages] if stages else []
    with log.open("wb") as written:
        process = subprocess.Popen(command, env={**clean, **own, **environment}, stderr=written)
    try:
        yield process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(WITHIN_S) == 0
    finally:
        process.kill()
        process.wait()
