"""Traces: which call came of which tick or event, told to an OpenTelemetry collector when the environment names one.

A trace's context travels as the W3C `traceparent` of stream entries and of HTTP requests, and with the attempt in the
ledger. `otel.py` does the work and is imported only then: otherwise each function here returns at once, and nothing is
added to any entry, request or script. Attributes never hold phone numbers, nor the text of an error.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from streamdialer.errors import SettingsError
from streamdialer.observability.trace_context import Attribute, SpanLink

if TYPE_CHECKING:
    from streamdialer.observability.otel import OtelTraces

log = logging.getLogger(__name__)
FIELD: Final = "traceparent"
"""Of stream entries and HTTP requests: https://www.w3.org/TR/trace-context/."""
_NOTHING: Final = nullcontext()
_traces: OtelTraces | None = None


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
    """Traces what is done inside, if that is asked for; `process` names this one. Raises SettingsError."""
    global _traces
    if not is_configured(os.environ):
        yield
        return
    try:
        from streamdialer.observability.otel import OtelTraces
    except ModuleNotFoundError as error:
        log.warning(
            "traces are asked for by OTEL_ variables and not installed: pip install 'streamdialer[otel]'",
            extra={"error": str(error)},
        )
        yield
        return
    _traces = OtelTraces(process)
    try:
        yield
    finally:
        closing, _traces = _traces, None
        closing.close()


def span(name: str, **attributes: Attribute) -> AbstractContextManager[None]:
    """A step of what is being done."""
    return _traces.span(name, attributes) if _traces else _NOTHING


def entry_span(name: str, fields: Mapping[str, str], **attributes: Attribute) -> AbstractContextManager[None]:
    """The handling of an entry: in the trace its writer names (a malformed one is none), else in a new one."""
    return _traces.of_entry(name, fields.get(FIELD, ""), attributes) if _traces else _NOTHING


def call_event_span(
    name: str, fields: Mapping[str, str], **attributes: Attribute
) -> AbstractContextManager[None]:
    """The handling of a call event; its span begins when `join` says whose call it is."""
    return _traces.of_call_event(name, fields.get(FIELD, ""), attributes) if _traces else _NOTHING


def attach_call(trace: str, attempt: str) -> None:
    """The call event being handled is of this attempt, whose trace is `trace` ('': none is kept)."""
    if _traces:
        _traces.join(trace, attempt)


def call_span(name: str, trace: str, **attributes: Attribute) -> AbstractContextManager[None]:
    """A step of a call whose trace the ledger has kept; nothing when it has none."""
    return _traces.of_call(name, trace, attributes) if _traces and trace else _NOTHING


def request(service: str, method: str, host: str) -> AbstractContextManager[None]:
    """An HTTP request, as a step of what is being done; `carried` has the headers for it."""
    return _traces.request(service, method, host) if _traces else _NOTHING


def inject() -> dict[str, str]:
    """The header, or field, that carries the trace on; empty when there is none."""
    trace = current_traceparent()
    return {FIELD: trace} if trace else {}


def set_attributes(**attributes: Attribute) -> None:
    """Adds to what is known of the step being done."""
    if _traces:
        _traces.note(attributes)


def current_traceparent() -> str:
    """The `traceparent` of the step being done, '' when there is none."""
    return _traces.here() if _traces else ""


def sampled_traceparent() -> str:
    """The same for the ledger to keep, '' also when the trace is not sampled."""
    return _traces.here(only_sampled=True) if _traces else ""


def is_enabled() -> bool:
    """Whether the ledger is to be asked for what it keeps."""
    return _traces is not None


def current_link() -> SpanLink | None:
    """The step being done, as the cause of what it asks for."""
    return _traces.cause() if _traces else None


def wakeup_traceparent(of: SpanLink | None) -> str:
    """The `traceparent` for ticks that `of` has asked for, '' without a cause."""
    return _traces.wake(of) if _traces and of else ""
