"""The files in deploy/ start commands, read settings and ask paths that there are."""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from streamdialer.cli import app
from streamdialer.config.settings import NAMES, Settings
from streamdialer.observability.http_port import MAX_CONNECTIONS

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def arguments_are_known(arguments: list[str]) -> None:
    known = CliRunner().invoke(app, [*arguments, "--help"])
    assert known.exit_code == 0, known.output


def files_needed() -> int:
    settings = Settings()
    return 4 * (settings.calls_concurrency + settings.concurrency + MAX_CONNECTIONS)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_wait_for_ready_and_watch_the_loop(path: Path) -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(path.read_text("utf-8"))
    service = unit["Service"]
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    assert int(service["WatchdogSec"]) >= 10
    assert int(service["TimeoutStopSec"]) > 11, "the grace period and the supervisor's margin"
    assert int(service["LimitNOFILE"]) >= files_needed(), "a connection for each request that may be open"
    program, *arguments = shlex.split(service["ExecStart"])
    assert program.endswith("/streamdialer")
    arguments_are_known([one.replace("910%i", "9101") for one in arguments])


def containers() -> list[dict[str, Any]]:
    documents = yaml.safe_load_all((DEPLOY / "kubernetes" / "streamdialer.yaml").read_text("utf-8"))
    return [one for document in documents for one in document["spec"]["template"]["spec"]["containers"]]


def test_kubernetes_probes_ask_what_is_answered() -> None:
    assert [one["name"] for one in containers()] == ["consume", "tick"]
    for one in containers():
        ports = {port["name"]: port["containerPort"] for port in one["ports"]}
        environment = {variable["name"]: variable["value"] for variable in one["env"]}
        assert set(environment) <= set(NAMES.values())
        assert int(environment["STREAMDIALER_HEALTH_PORT"]) == ports["health"]
        assert environment["STREAMDIALER_HEALTH_HOST"] == "0.0.0.0", "the kubelet asks from outside"
        paths = {name: one[name]["httpGet"]["path"] for name in one if name.endswith("Probe")}
        assert paths == {"startupProbe": "/live", "livenessProbe": "/live", "readinessProbe": "/ready"}
        arguments_are_known(one["args"])


def test_compose_hands_on_what_the_law_wants_and_leaves_the_watching_to_the_image() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]
    for name in ("consume", "tick"):
        environment = services[name]["environment"]
        assert {one for one in environment if one.startswith("STREAMDIALER_")} <= set(NAMES.values())
        law = ("STREAMDIALER_RULE_PACK", "STREAMDIALER_TIMEZONE", "STREAMDIALER_COUNTRY")
        assert {one: environment[one] for one in law} == {one: f"${{{one}:-}}" for one in law}
        assert "healthcheck" not in services[name], "the image has one: the file that the loop touches"
        assert services[name]["ulimits"]["nofile"] >= files_needed()
        arguments_are_known(services[name]["command"])


def test_the_dashboard_is_started_with_what_it_knows_and_watched_where_it_answers() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]["dashboard"]
    assert {one for one in compose["environment"] if one.startswith("STREAMDIALER_")} <= set(NAMES.values())
    assert compose["ports"] == ["127.0.0.1:5555:5555"], "not for the network: it speaks http"
    assert ":5555/live" in compose["healthcheck"]["test"][3]
    arguments_are_known(compose["command"])
    deployment, service = yaml.safe_load_all((DEPLOY / "kubernetes" / "dashboard.yaml").read_text("utf-8"))
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [{"name": service["spec"]["ports"][0]["targetPort"], "containerPort": 5555}]
    assert container["livenessProbe"]["httpGet"] == {"path": "/live", "port": "http"}
    arguments_are_known(container["args"])
