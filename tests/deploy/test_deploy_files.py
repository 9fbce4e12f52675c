"""The files in deploy/ start commands, read settings and ask paths that there are."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from streamdialer.broker.keys import GROUP, STAGES, Keys
from streamdialer.config.loading import load
from streamdialer.config.settings import NAMES
from tests.support.deploy_files import DEPLOY, arguments_are_known, files_needed

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def read_unit(path: Path) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(path.read_text("utf-8"))
    return unit


each_unit = pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)


@each_unit
def test_units_start_what_there_is_and_watch_the_loop(path: Path) -> None:
    service = read_unit(path)["Service"]
    program, _, *arguments = words = shlex.split(service["ExecStart"])
    assert program.endswith("/streamdialer")
    arguments_are_known([one.replace("910%i", "9101") for one in words[1:]])
    assert int(service["TimeoutStopSec"]) > 11, "the grace period and the supervisor's margin"
    assert int(service["LimitNOFILE"]) >= files_needed(), "a connection for each request that may be open"
    if "--health-port" in arguments:  # a program that reports to the service manager
        assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
        assert int(service["WatchdogSec"]) >= 10
    else:
        assert service["Type"] == "exec"


def test_every_role_has_a_unit() -> None:
    names = {path.name.removeprefix("streamdialer-").removesuffix(".service").rstrip("@") for path in UNITS}
    assert names >= {"consume", "tick", "asterisk", "dashboard", "backend"}


SYSTEMD_ANALYZE = shutil.which("systemd-analyze")


@pytest.mark.skipif(SYSTEMD_ANALYZE is None, reason="systemd-analyze is not here: it is part of systemd")
@each_unit
def test_systemd_finds_no_fault_and_little_exposure(path: Path, tmp_path: Path) -> None:
    assert SYSTEMD_ANALYZE is not None
    unit = tmp_path / path.name
    unit.write_text(path.read_text("utf-8").replace("/opt/streamdialer/bin/streamdialer", "/bin/true"))

    def analyze(*arguments: str) -> str:
        done = subprocess.run(
            [SYSTEMD_ANALYZE, *arguments, str(unit)], capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    assert analyze("verify", "--man=no") == ""
    exposure = re.search(r"exposure level for \S+: ([0-9.]+)", analyze("security", "--offline=true"))
    assert exposure
    assert float(exposure[1]) <= 2.0


KUBERNETES = DEPLOY / "kubernetes"
OVERLAYS = ("base", "keda", "autoscaler")


def resources(folder: str) -> list[dict[str, Any]]:
    """The documents of a folder's resources, those of its base included."""
    documents: list[dict[str, Any]] = []
    for name in yaml.safe_load((KUBERNETES / folder / "kustomization.yaml").read_text("utf-8"))["resources"]:
        path = (KUBERNETES / folder / name).resolve()
        documents += resources(path.name) if path.is_dir() else yaml.safe_load_all(path.read_text("utf-8"))
    return documents


def pods() -> dict[str, dict[str, Any]]:
    deployments = [each for each in resources("base") if each["kind"] == "Deployment"]
    return {each["metadata"]["labels"]["component"]: each["spec"]["template"]["spec"] for each in deployments}


def settings_of_pods() -> dict[str, str]:
    lines = (KUBERNETES / "base" / "settings.env").read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_kubernetes_probes_ask_what_is_answered() -> None:
    settings = settings_of_pods()
    assert settings["STREAMDIALER_HEALTH_HOST"] == "0.0.0.0", "the kubelet asks from outside"
    for name, pod in pods().items():
        [container] = pod["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        probes = {each: container[each]["httpGet"] for each in container if each.endswith("Probe")}
        paths = {each: probe["path"] for each, probe in probes.items()}
        if name == "dashboard":
            assert (ports, set(paths.values())) == ({"http": 5555}, {"/live"})
            assert set(paths) == {"livenessProbe", "readinessProbe"}
        else:
            assert ports == {"health": int(settings["STREAMDIALER_HEALTH_PORT"])}
            assert paths == {"startupProbe": "/live", "livenessProbe": "/live", "readinessProbe": "/ready"}
        assert {probe["port"] for probe in probes.values()} == set(ports)
        arguments_are_known(container["args"])


def test_pods_keep_to_the_restricted_standard_and_ask_nothing_of_kubernetes() -> None:
    for pod in pods().values():
        assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        [container] = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]


def test_settings_of_pods_are_settings_and_their_secrets_files(tmp_path: Path) -> None:
    environment = settings_of_pods()
    [container] = pods()["dashboard"]["containers"]
    environment |= {one["name"]: one["value"] for one in container["env"]}
    for name, value in environment.items():
        if name.endswith("_FILE"):
            assert Path(value).parent == Path("/run/secrets/streamdialer")
            assert Path(value).name == name.removesuffix("_FILE")
            (tmp_path / name).write_text(SECRETS_OF_PODS[name.removesuffix("_FILE")])
            environment[name] = str(tmp_path / name)
    loaded = load(environ=environment, directory=tmp_path)
    assert {NAMES[field] for field, origin in loaded.origin.items() if origin == "environment"} == {
        name.removesuffix("_FILE") for name in environment
    }
    secrets = {
        "REDIS_URL",
        "BACKEND_PASSWORD",
        "STREAMDIALER_DASHBOARD_USERS",
        "STREAMDIALER_DASHBOARD_SECRET",
    }
    assert not secrets & environment.keys(), "what is secret is not in the ConfigMap"


SECRETS_OF_PODS = {
    "REDIS_URL": "redis://:secret@redis:6379/0",
    "BACKEND_PASSWORD": "secret",
    "STREAMDIALER_DASHBOARD_USERS": "operator:ana:long enough",
    "STREAMDIALER_DASHBOARD_SECRET": "0123456789abcdef0123456789abcdef",
}


@pytest.mark.parametrize("folder", OVERLAYS)
def test_what_scales_protects_and_selects_names_what_there_is(folder: str) -> None:
    documents = resources(folder)
    deployments = {one["metadata"]["name"]: one for one in documents if one["kind"] == "Deployment"}
    selected = {one["spec"]["selector"]["matchLabels"]["component"] for one in deployments.values()}
    for one in documents:
        if target := one.get("spec", {}).get("scaleTargetRef"):
            assert target["name"] in deployments
        if one["kind"] == "PodDisruptionBudget":
            [component] = one["spec"]["selector"]["matchLabels"].values()
            assert component in selected
    kinds = {
        "base": set(),
        "keda": {"ScaledObject", "TriggerAuthentication"},
        "autoscaler": {"HorizontalPodAutoscaler"},
    }
    assert {one["kind"] for one in documents} - {one["kind"] for one in resources("base")} == kinds[folder]


def test_replicas_are_scaled_by_the_streams_that_they_read() -> None:
    [scaled] = [one for one in resources("keda") if one["kind"] == "ScaledObject"]
    triggers = [trigger["metadata"] for trigger in scaled["spec"]["triggers"]]
    assert {trigger["stream"] for trigger in triggers} == {Keys().stream(stage) for stage in STAGES}
    assert {trigger["consumerGroup"] for trigger in triggers} == {GROUP}


@pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="needs kubectl, which works without a cluster here"
)
@pytest.mark.parametrize("folder", OVERLAYS)
def test_kustomize_builds_each_folder_and_kubernetes_knows_every_field(folder: str) -> None:
    built = subprocess.run(
        ["kubectl", "kustomize", str(KUBERNETES / folder)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    manifests = list(yaml.safe_load_all(built.stdout))
    for one in manifests:
        if not one["apiVersion"].startswith("keda.sh/"):
            kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
    names = {(one["kind"], one["metadata"]["name"]) for one in manifests}
    for one in resources(folder):
        assert (one["kind"], one["metadata"]["name"]) in names
    [config] = [name for kind, name in names if kind == "ConfigMap"]
    assert built.stdout.count(f"name: {config}") == 4, "a change of settings restarts the pods"
