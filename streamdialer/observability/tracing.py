"""Traces of calls, from the tick or event that causes a call to its end, through OpenTelemetry's API.

The context travels as the W3C `traceparent` of stream entries and HTTP requests, and with the attempt in the ledger.
The tracer is None unless the environment names a collector. Then each function here returns at once and adds
nothing to any entry, request or script: the API's own no-op span costs ten times as much (docs/traces.md).
Attributes never hold phone numbers, nor the text of an error.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Final

import msgspec
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from streamdialer.errors import SettingsError

log = logging.getLogger(__name__)
Attribute = str | int | float | bool | None
FIELD: Final = "traceparent"
"""Of stream entries and HTTP requests: https://www.w3.org/TR/trace-context/."""
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_NOTHING: Final = nullcontext()
_tracer: Tracer | None = None


class SpanLink(msgspec.Struct, frozen=True):
    """The span that asked for a wake-up."""

    span: SpanContext
    at_ns: int
    is_of_call: bool
    """The call is over: the next call gets a trace of its own, otherwise no trace would ever end."""


_is_call_event: ContextVar[bool] = ContextVar("is_call_event", default=False)


def is_configured(environment: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry's own variables name a collector; raises SettingsError for one we cannot write to."""

    def value(name: str) -> str:
        return environment.get(name, "").strip()

    def of_traces(name: str) -> str:
        return value(f"OTEL_EXPORTER_OTLP_TRACES_{name}") or value(f"OTEL_EXPORTER_OTLP_{name}")

    exporter = value("OTEL_TRACES_EXPORTER").lower()
    if value("OTEL_SDK_DISABLED").lower() == "true" or exporter == "none":
        return False
    if not exporter and not of_traces("ENDPOINT"):
        return False
    if exporter not in ("", "otlp"):
        raise SettingsError(f"OTEL_TRACES_EXPORTER: got {exporter!r}, takes otlp or none")
    protocol = of_traces("PROTOCOL")
    if protocol not in ("", "http/protobuf"):
        raise SettingsError(f"OTEL_EXPORTER_OTLP_PROTOCOL: got {protocol!r}, takes http/protobuf")
    return True


@contextmanager
def tracing(process: str) -> Iterator[None]:
    """Sends spans to the collector the environment names, if any; `process` names us there. Raises SettingsError."""
    global _tracer
    if not is_configured(os.environ):
        yield
        return
    try:
        from streamdialer.observability.otel import close, open_provider
    except ModuleNotFoundError as error:
        log.warning(
            "OTEL_ variables ask for traces, but the package that sends them is missing: nothing is traced. "
            "Install it: pip install 'streamdialer[otel]'",
            extra={"error": str(error)},
        )
        yield
        return
    provider = open_provider(process)
    _tracer = provider.get_tracer("streamdialer")
    try:
        yield
    finally:
        _tracer = None
        close(provider)


def is_enabled() -> bool:
    return _tracer is not None


def span(name: str, **attributes: Attribute) -> AbstractContextManager[None]:
    """A step of the current span."""
    return _current(_tracer.start_span(name, attributes=_prefixed(attributes))) if _tracer else _NOTHING


def entry_span(name: str, fields: Mapping[str, str], **attributes: Attribute) -> AbstractContextManager[None]:
    """The handling of an entry: in its writer's trace, or in a new one when it has no valid `traceparent`."""
    if not _tracer:
        return _NOTHING
    return _current(_start(_tracer, name, read_traceparent(fields.get(FIELD, "")), attributes))


def call_event_span(
    name: str, fields: Mapping[str, str], traceparent: str, began_ns: int, **attributes: Attribute
) -> AbstractContextManager[None]:
    """The handling of a call event: in the trace of its attempt, whose `traceparent` the ledger keeps ('': none).

    The parent is the event's writer when it is in that trace. A writer in another trace is linked.
    """
    if not _tracer:
        return _NOTHING
    call, writer = read_traceparent(traceparent), read_traceparent(fields.get(FIELD, ""))
    if not call.is_valid and not writer.is_valid:
        # a call that is not sampled, or began without traces, does not become traced half-way
        return _NOTHING
    is_near = writer.is_valid and (not call.is_valid or writer.trace_id == call.trace_id)
    links = [Link(writer)] if writer.is_valid and not is_near else []
    step = _start(_tracer, name, writer if is_near else call, attributes, began_ns, links)
    return _current(step, is_call_event=True)


def call_span(name: str, traceparent: str, **attributes: Attribute) -> AbstractContextManager[None]:
    """A step of a call whose `traceparent` the ledger keeps; nothing when it keeps none."""
    if not _tracer or not traceparent:
        return _NOTHING
    return _current(_start(_tracer, name, read_traceparent(traceparent), attributes))


def request(service: str, method: str, host: str) -> AbstractContextManager[None]:
    """An HTTP request as a step of the current span; it begins no trace. `inject` has the header for it."""
    if not _tracer or not trace.get_current_span().get_span_context().is_valid:
        return _NOTHING
    attributes = {"http.request.method": method, "server.address": host}
    return _current(_tracer.start_span(f"{method} {service}", kind=SpanKind.CLIENT, attributes=attributes))


def set_attributes(**attributes: Attribute) -> None:
    if _tracer:
        trace.get_current_span().set_attributes(_prefixed(attributes))


def inject() -> dict[str, str]:
    """The header or field that carries the current span; empty without one."""
    carrier: dict[str, str] = {}
    if _tracer:
        _PROPAGATOR.inject(carrier)
    return carrier


def current_traceparent() -> str:
    """The `traceparent` of the current span, '' without one."""
    return inject().get(FIELD, "")


def sampled_traceparent() -> str:
    """The same for the ledger to keep: '' also when the trace is not sampled."""
    is_sampled = _tracer and trace.get_current_span().get_span_context().trace_flags.sampled
    return current_traceparent() if is_sampled else ""


def current_link() -> SpanLink | None:
    """The current span, as the cause of a wake-up."""
    if not _tracer:
        return None
    current = trace.get_current_span().get_span_context()
    return SpanLink(current, time.time_ns(), _is_call_event.get()) if current.is_valid else None


def wakeup_traceparent(cause: SpanLink | None) -> str:
    """The `traceparent` for ticks that `cause` has asked for, '' without a cause."""
    if not _tracer or not cause:
        return ""
    parent, links = (None, [Link(cause.span)]) if cause.is_of_call else (cause.span, [])
    step = _start(_tracer, "wake", parent, {}, cause.at_ns, links)
    step.end()
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, trace.set_span_in_context(step))
    return carrier[FIELD]


def read_traceparent(traceparent: str) -> SpanContext:
    """The span a `traceparent` names; an invalid context for anything else."""
    return trace.get_current_span(_PROPAGATOR.extract({FIELD: traceparent})).get_span_context()


def _start(
    tracer: Tracer,
    name: str,
    parent: SpanContext | None,
    attributes: Mapping[str, Attribute],
    began_ns: int | None = None,
    links: Sequence[Link] = (),
) -> Span:
    """A span below `parent`; None or an invalid parent begins a trace."""
    context = Context()
    if parent and parent.is_valid:
        context = trace.set_span_in_context(NonRecordingSpan(parent), context)
    return tracer.start_span(
        name, context, SpanKind.CONSUMER, _prefixed(attributes), links, start_time=began_ns
    )


def _prefixed(attributes: Mapping[str, Attribute]) -> dict[str, str | int | float | bool]:
    return {
        name if "." in name else f"streamdialer.{name}": value
        for name, value in attributes.items()
        if value is not None
    }


@contextmanager
def _current(step: Span, *, is_call_event: bool = False) -> Iterator[None]:
    """Makes the span the current one, and ends it; of an error it keeps the kind only."""
    token = _is_call_event.set(is_call_event or _is_call_event.get())
    with trace.use_span(step, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield
        except BaseException as error:
            step.set_status(StatusCode.ERROR)
            step.set_attribute("error.type", type(error).__name__)
            raise
        finally:
            _is_call_event.reset(token)
