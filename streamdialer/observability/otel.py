"""OpenTelemetry's SDK, which sends spans over OTLP/HTTP from a thread of its own: the only module that imports it.

Sampling, batches, limits and the collector's address come from the SDK's own `OTEL_…` variables. A full queue drops
spans. Only the end of the process waits for the collector, for at most two seconds.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from streamdialer.errors import SettingsError

log = logging.getLogger(__name__)
CLOSE_S: Final = 2.0


def open_provider(process: str) -> TracerProvider:
    """Raises SettingsError for variables the SDK cannot use."""
    attributes = {"service.instance.id": process}
    if not os.environ.get("OTEL_SERVICE_NAME"):
        attributes[SERVICE_NAME] = "streamdialer"
    try:
        provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(_Exporter(OTLPSpanExporter())))
    except ValueError as error:
        raise SettingsError(f"OTEL_ variables: {error}") from error
    return provider


def close(provider: TracerProvider) -> None:
    """Sends the remaining spans, but does not wait long for a collector that is away."""
    closing = threading.Thread(target=provider.shutdown, daemon=True)
    closing.start()
    closing.join(CLOSE_S)


class _ExportErrorLog(logging.Handler):
    """Takes the errors that the library would log again and again; the first is the reason in our one line."""

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
        self._errors = _ExportErrorLog()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._errors.text = ""
        result = self._exporter.export(spans)
        is_away = result is not SpanExportResult.SUCCESS
        if is_away and not self._is_away:
            log.warning(
                "the collector does not take traces; dialing goes on without them",
                extra={"error": self._errors.text[:500]},
            )
        if self._is_away and not is_away:
            log.warning("the collector takes traces again")
        self._is_away = is_away
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]
        self._errors.leave()
