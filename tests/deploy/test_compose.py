"""The compose files start commands, set settings and ask paths that there are, and docker-compose reads them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamdialer.config.loading import load
from streamdialer.config.settings import NAMES
from tests.support.deploy_files import DEPLOY, arguments_are_known, files_needed

FILES = ("compose.yaml", "compose.worker.yaml")
LAW = ("STREAMDIALER_RULE_PACK", "STREAMDIALER_TIMEZONE", "STREAMDIALER_COUNTRY")
NOT_OURS = {"redis", "postgres", "prometheus", "grafana", "dialer-worker"}
each_file = pytest.mark.parametrize("name", FILES)


def services(name: str) -> dict[str, dict[str, Any]]:
    return dict(yaml.safe_load((DEPLOY / name).read_text("utf-8"))["services"])


def ours(name: str) -> dict[str, dict[str, Any]]:
    return {key: each for key, each in services(name).items() if key not in NOT_OURS}


@each_file
def test_services_start_commands_and_set_settings_that_there_are(name: str, tmp_path: Path) -> None:
    for service in ours(name).values():
        arguments_are_known(service["command"])
        assert set(service["environment"]) <= set(NAMES.values())
        values = {
            key: re.sub(r"\$\{\w+:?-?(.*)\}", r"\1", value) for key, value in service["environment"].items()
        }
        values.pop("STREAMDIALER_DASHBOARD_USERS", None)
        values.pop("DATABASE_URL", None)
        load(environ=values, directory=tmp_path)


@each_file
def test_services_hold_on_to_nothing_that_they_do_not_need(name: str) -> None:
    for key, service in services(name).items():
        if key == "dialer-worker":
            continue
        assert service["read_only"] is True
        assert service["logging"]["options"]["max-size"], "logs do not fill the disk"
        assert "no-new-privileges:true" in service["security_opt"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    for service in ours(name).values():
        assert service["ulimits"]["nofile"] >= files_needed()
        assert int(service["stop_grace_period"].rstrip("s")) > 11


@each_file
def test_what_the_law_wants_is_handed_on_and_replicas_are_watched_by_the_image(name: str) -> None:
    working = [service for service in ours(name).values() if service["command"][0] in ("consume", "tick")]
    assert [service["deploy"]["replicas"] for service in working] == [2, 2]
    for service in working:
        assert {one: service["environment"][one] for one in LAW} == {one: f"${{{one}:-}}" for one in LAW}
        assert "healthcheck" not in service, "the image has one: the file that the loop touches"


@each_file
def test_the_dashboard_is_watched_where_it_answers(name: str) -> None:
    [dashboard] = [service for service in ours(name).values() if service["command"][0] == "dashboard"]
    assert dashboard["ports"] == ["127.0.0.1:${DASHBOARD_PORT:-5555}:5555"], (
        "not for the network: it speaks http"
    )
    assert ":5555/live" in dashboard["healthcheck"]["test"][3]


def test_what_is_mounted_is_there_and_prometheus_asks_where_the_metrics_are() -> None:
    stack = services("compose.yaml")
    for service in stack.values():
        for volume in service.get("volumes", []):
            source, target, *_ = volume.split(":")
            assert not source.startswith(".") or (DEPLOY / source).exists(), source
            assert target.startswith("/")
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "compose.yml").read_text("utf-8"))
    [found] = scraped["scrape_configs"][0]["dns_sd_configs"]
    assert set(found["names"]) <= set(stack)
    assert str(found["port"]) == stack["consume"]["environment"]["STREAMDIALER_HEALTH_PORT"]
    provider = yaml.safe_load(
        (DEPLOY / "grafana/provisioning/dashboards/streamdialer.yml").read_text("utf-8")
    )
    folder = provider["providers"][0]["options"]["path"]
    assert f"./grafana/streamdialer.json:{folder}/streamdialer.json:ro" in stack["grafana"]["volumes"]


PLATFORM = {name: {"image": name} for name in ("redis", "django", "dialer-api", "dialer-worker")}


def compose_command() -> list[str] | None:
    """What reads compose files here; None when nothing does."""
    if shutil.which("docker"):
        asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if asked.returncode == 0:
            return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else None


COMPOSE = compose_command()


@pytest.mark.skipif(COMPOSE is None, reason="needs docker compose, which asks no engine for this")
@each_file
def test_docker_compose_reads_it(name: str, tmp_path: Path) -> None:
    assert COMPOSE is not None
    platform = tmp_path / "docker-compose.yml"
    platform.write_text(json.dumps({"services": PLATFORM}), "utf-8")
    files = ["-f", str(platform)] if name == "compose.worker.yaml" else []
    environment = {
        "PATH": "/usr/bin:/bin:/usr/local/bin",
        "POSTGRES_PASSWORD": "secret",
        "GRAFANA_PASSWORD": "secret",
        "STREAMDIALER_DASHBOARD_USERS": "operator:ana:long enough",
    }
    done = subprocess.run(
        [*COMPOSE, *files, "-f", str(DEPLOY / name), "--project-directory", str(DEPLOY), "config"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    read = yaml.safe_load(done.stdout)["services"]
    assert set(ours(name)) - set(read) <= {"asterisk", "dialer-dashboard"}, "those with a profile"
    assert "dialer-worker" not in read or read["dialer-worker"].get("profiles") == ["replaced"]
