"""What pyproject.toml names is there, and the image is built from it."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_licence_and_the_readme_are_part_of_the_distribution_and_of_the_images_build() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    needed = [*pyproject["project"]["license-files"], pyproject["project"]["readme"], "pyproject.toml"]
    context = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    copied = (ROOT / "deploy/Dockerfile").read_text("utf-8")
    for name in needed:
        assert (ROOT / name).is_file()
        assert f"!{name}" in context
        assert f" {name} " in copied


def test_the_source_distribution_includes_only_what_exists() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    included = pyproject["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {"/docs", "/README.md", "/CHANGELOG.md", "/CONTRIBUTING.md"} <= set(included)
    for path in included:
        assert (ROOT / path.lstrip("/")).exists(), path
