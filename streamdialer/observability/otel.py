"""Traces with OpenTelemetry's SDK, sent over OTLP/HTTP by a thread of its own: the only module that imports either.

Sampling, batches, limits and the collector's address are the SDK's own, by its `OTEL_…` variables. A full queue drops
spans; nothing here waits for the collector, but the end of the process, for at most two seconds.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from typing import Final

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)

from streamdialer.errors import SettingsError
from streamdialer.observability.trace_context import Attribute, SpanLink

log = logging.getLogger(__name__)
CLOSE_S: Final = 2.0
_TRACEPARENT: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII
)
Attributes = Mapping[str, Attribute]
Join = Callable[[str, str], None]
_joining: ContextVar[Join | None] = ContextVar("joining", default=None)
"""Set while a call event is handled."""


def read_traceparent(text: str) -> SpanContext:
    """Whom a `traceparent` names; an invalid context for anything else, as the recommendation asks."""
    found = _TRACEPARENT.fullmatch(text)
    if not found or (found[1] == "00" and found[5]):
        return INVALID_SPAN_CONTEXT
    flags = TraceFlags(int(found[4], 16))
    return SpanContext(int(found[2], 16), int(found[3], 16), is_remote=True, trace_flags=flags)


def write_traceparent(of: SpanContext) -> str:
    """'' for an invalid context."""
    return f"00-{of.trace_id:032x}-{of.span_id:016x}-{of.trace_flags:02x}" if of.is_valid else ""


def _below(parent: SpanContext) -> Context:
    """A context with this parent alone; an invalid one begins a trace."""
    return trace.set_span_in_context(NonRecordingSpan(parent), Context()) if parent.is_valid else Context()


def _named(attributes: Attributes) -> dict[str, str | int | float | bool]:
    return {
        name if "." in name else f"streamdialer.{name}": value
        for name, value in attributes.items()
        if value is not None
    }


@contextmanager
def _doing(step: Span) -> Iterator[None]:
    """Makes the step the current one, and ends it; of an error only the kind is told."""
    token = context.attach(trace.set_span_in_context(step))
    try:
        yield
    except BaseException as error:
        step.set_status(Status(StatusCode.ERROR))
        step.set_attribute("error.type", type(error).__name__)
        raise
    finally:
        context.detach(token)
        step.end()


class OtelTraces:
    """What `traces.py` says, done."""

    def __init__(self, process: str) -> None:
        """Raises SettingsError for variables the SDK cannot use."""
        own = {"service.instance.id": process}
        if not os.environ.get("OTEL_SERVICE_NAME"):
            own[SERVICE_NAME] = "streamdialer"
        try:
            self._provider = TracerProvider(resource=Resource.create(own), shutdown_on_exit=False)
            self._provider.add_span_processor(BatchSpanProcessor(_Exporter(OTLPSpanExporter())))
        except ValueError as error:
            raise SettingsError(f"OTEL_ variables: {error}") from error
        self._tracer = self._provider.get_tracer("streamdialer")

    def close(self) -> None:
        """Sends what is left, but does not wait long for a collector that is away."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_S)

    def span(self, name: str, attributes: Attributes) -> AbstractContextManager[None]:
        return _doing(self._tracer.start_span(name, attributes=_named(attributes)))

    def of_entry(self, name: str, writer: str, attributes: Attributes) -> AbstractContextManager[None]:
        return _doing(self._begin(name, read_traceparent(writer), attributes))

    def of_call(self, name: str, kept: str, attributes: Attributes) -> AbstractContextManager[None]:
        return _doing(self._begin(name, read_traceparent(kept), attributes))

    @contextmanager
    def of_call_event(self, name: str, writer: str, attributes: Attributes) -> Iterator[None]:
        """In the attempt's trace: below its writer where that is in it, else linked to the writer."""
        began_ns, given = time.time_ns(), read_traceparent(writer)
        with ExitStack() as stack:

            def join(kept: str, attempt: str) -> None:
                call = read_traceparent(kept)
                if not call.is_valid and not given.is_valid:
                    return  # what is not sampled, or was begun without traces, does not become one half-way
                is_near = given.is_valid and (not call.is_valid or given.trace_id == call.trace_id)
                links = [Link(given)] if given.is_valid and not is_near else []
                known = {**attributes, "attempt": attempt or None}
                step = self._begin(name, given if is_near else call, known, began_ns, links)
                stack.enter_context(_doing(step))

            token = _joining.set(join)
            try:
                yield
            finally:
                _joining.reset(token)

    def join(self, kept: str, attempt: str) -> None:
        known = _joining.get()
        if known:
            known(kept, attempt)

    @contextmanager
    def request(self, service: str, method: str, host: str) -> Iterator[None]:
        """Begins no trace: what is not part of one is not told."""
        if not trace.get_current_span().get_span_context().is_valid:
            yield
            return
        attributes = {"http.request.method": method, "server.address": host}
        step = self._tracer.start_span(f"{method} {service}", kind=SpanKind.CLIENT, attributes=attributes)
        with _doing(step):
            yield

    def note(self, attributes: Attributes) -> None:
        trace.get_current_span().set_attributes(_named(attributes))

    def here(self, *, only_sampled: bool = False) -> str:
        found = trace.get_current_span().get_span_context()
        return "" if only_sampled and not found.trace_flags.sampled else write_traceparent(found)

    def cause(self) -> SpanLink | None:
        found = self.here()
        return SpanLink(found, time.time_ns(), _joining.get() is not None) if found else None

    def wake(self, of: SpanLink) -> str:
        origin = read_traceparent(of.trace)
        parent, links = (INVALID_SPAN_CONTEXT, [Link(origin)]) if of.is_of_call else (origin, [])
        step = self._begin("wake", parent, {}, of.at_ns, links)
        step.end()
        return write_traceparent(step.get_span_context())

    def _begin(
        self,
        name: str,
        parent: SpanContext,
        attributes: Attributes,
        began_ns: int | None = None,
        links: Sequence[Link] = (),
    ) -> Span:
        return self._tracer.start_span(
            name, _below(parent), SpanKind.CONSUMER, _named(attributes), links, start_time=began_ns
        )


class _ExportErrorLog(logging.Handler):
    """What the library would log again and again is kept, as the reason of our one line."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self._logger = logging.getLogger("opentelemetry")
        self._logger.addHandler(self)
        self._logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        self.text = self.text or record.getMessage()

    def leave(self) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = True


class _Exporter(SpanExporter):
    """The exporter, with one line in the log when the collector goes away and one when it is back."""

    def __init__(self, exporter: OTLPSpanExporter) -> None:
        self._exporter = exporter
        self._is_away = False
        self._heard = _ExportErrorLog()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._heard.text = ""
        result = self._exporter.export(spans)
        is_away = result is not SpanExportResult.SUCCESS
        if is_away and not self._is_away:
            log.warning(
                "the collector does not take traces; dialing goes on without them",
                extra={"error": self._heard.text[:500]},
            )
        if self._is_away and not is_away:
            log.warning("the collector takes traces again")
        self._is_away = is_away
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]
        self._heard.leave()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)
