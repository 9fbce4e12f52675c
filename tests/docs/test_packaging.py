"""What pyproject.toml names is there, the lock file holds all of it, and the image is built from it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from streamdialer import __version__

ROOT = Path(__file__).parents[2]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOCKED: list[dict[str, Any]] = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))["package"]


def test_the_licence_and_the_readme_are_part_of_the_distribution_and_of_the_images_build() -> None:
    needed = [
        *PYPROJECT["project"]["license-files"],
        PYPROJECT["project"]["readme"],
        "pyproject.toml",
        "uv.lock",
    ]
    context = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    [copied] = [line for line in DOCKERFILE.splitlines() if line.startswith("COPY pyproject.toml")]
    assert context[0] == "*", "only what is allowed"
    for name in needed:
        assert (ROOT / name).is_file()
        assert f"!{name}" in context
        assert f" {name} " in copied


DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text("utf-8")


def test_the_image_has_what_the_lock_file_says_in_a_layer_of_its_own() -> None:
    steps = re.findall(r"^(?:FROM|COPY|RUN uv).*$", DOCKERFILE, re.MULTILINE)
    assert [step.split()[0] for step in steps if "uv sync --locked" in step] == ["RUN"]
    assert steps.index("COPY streamdialer streamdialer") > next(
        number for number, step in enumerate(steps) if "uv sync" in step
    )
    final = steps[max(number for number, step in enumerate(steps) if step.startswith("FROM")) :]
    assert [step.split()[-1] for step in final[1:]] == ["/opt/streamdialer", "/opt/program"]


def test_the_base_of_the_image_is_named_by_its_digest() -> None:
    [base] = re.findall(r"^ARG BASE=(.*)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}", base)
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"${BASE}", "dependencies"}


def test_the_source_distribution_includes_only_what_exists() -> None:
    included = PYPROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {"/docs", "/README.md", "/CHANGELOG.md", "/CONTRIBUTING.md"} <= set(included)
    for path in included:
        assert (ROOT / path.lstrip("/")).exists(), path


def test_the_version_stands_in_one_place_where_the_build_finds_it() -> None:
    assert PYPROJECT["project"]["dynamic"] == ["version"]
    file = (ROOT / PYPROJECT["tool"]["hatch"]["version"]["path"]).read_text("utf-8")
    assert re.findall(r'^__version__ = "(\d+\.\d+\.\d+)"$', file, re.MULTILINE) == [__version__]


def requirements(texts: list[str]) -> set[tuple[str, str]]:
    read = map(Requirement, texts)
    return {(each.name.lower().replace("_", "-"), str(each.specifier)) for each in read}


def test_the_lock_file_is_as_new_as_pyproject() -> None:
    project = PYPROJECT["project"]
    wanted = requirements(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted |= requirements(extra)
    wanted = {each for each in wanted if each[0] != "streamdialer"}
    [own] = [package for package in LOCKED if package["name"] == "streamdialer"]
    locked = {
        (each["name"], ",".join(sorted(each.get("specifier", "").split(","))))
        for each in own["metadata"]["requires-dist"]
    }
    assert {(name, ",".join(sorted(each.split(",")))) for name, each in wanted} == locked, "run `uv lock`"


def test_every_locked_package_has_a_hash_and_comes_from_the_public_index() -> None:
    for package in LOCKED:
        if package["name"] == "streamdialer":
            continue
        assert package["source"] == {"registry": "https://pypi.org/simple"}, package["name"]
        files = [*package.get("wheels", []), *filter(None, [package.get("sdist")])]
        assert files
        assert all(file["hash"].startswith("sha256:") for file in files)
