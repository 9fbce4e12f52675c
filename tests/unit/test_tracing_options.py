"""When tracing is on, what a valid `traceparent` is, and that tracing costs nothing while it is off."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from streamdialer.broker.keys import Keys
from streamdialer.cli import app
from streamdialer.errors import SettingsError
from streamdialer.observability import tracing
from streamdialer.observability.tracing import read_traceparent
from tests.support.otel_collector import WRITER

KEYS = Keys()
WRITER_ID = WRITER.split("-")[2]


def test_unasked_nothing_is_imported() -> None:
    code = (
        "import sys, streamdialer.cli, streamdialer.consumers.replica as _\n"
        "from streamdialer.observability import tracing\n"
        "with tracing.tracing('x'), tracing.span('y', campaign='1'): pass\n"
        "ours = ('streamdialer.observability.otel', 'opentelemetry.sdk.trace', 'opentelemetry.exporter')\n"
        "sys.exit(any(name in sys.modules for name in ours))"  # redis-py looks for the API on its own account
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, check=False
        ).returncode
        == 0
    )


def test_without_the_extra_one_line_says_so_and_work_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "streamdialer.observability.otel", None)
    with tracing.tracing("x"):
        assert tracing.current_traceparent() == ""
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "pip install" in caplog.text


@pytest.mark.parametrize(
    ("environment", "is_configured"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
        ({"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, False),
    ],
)
def test_the_standard_variables_ask_for_traces(environment: dict[str, str], is_configured: bool) -> None:
    assert tracing.is_configured(environment) is is_configured


@pytest.mark.parametrize(
    "environment",
    [
        {"OTEL_TRACES_EXPORTER": "console"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
def test_an_unsupported_variable_is_logged_at_the_start(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="takes"):
        tracing.is_configured(environment)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    done = CliRunner().invoke(app, ["consume"], env={"REDIS_URL": "redis://127.0.0.1:1"})
    assert (done.exit_code, done.output.count("OTEL_TRACES_EXPORTER")) == (2, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        WRITER.upper(),
        WRITER + "-more",
        "ff" + WRITER[2:],
        WRITER[:-1],
        WRITER.replace(WRITER_ID, "0" * 16),
        "٠٠" + WRITER[2:],
    ],
)
def test_an_invalid_traceparent_has_no_context(text: str) -> None:
    assert not read_traceparent(text).is_valid


@pytest.mark.parametrize("text", [WRITER, "01" + WRITER[2:] + "-more", f" {WRITER}\t", WRITER + "\n"])
def test_a_traceparent_of_a_later_version_or_with_space_around_it_is_understood(text: str) -> None:
    assert read_traceparent(text) == read_traceparent(WRITER)
    assert f"{read_traceparent(WRITER).span_id:016x}" == WRITER_ID
