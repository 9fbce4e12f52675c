"""The environment of the processes that a demo or a bench starts: the settings of the run instead of the user's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import streamdialer
from streamdialer.config.settings import NAMES


def with_settings(environ: Mapping[str, str], settings: Mapping[str, str | float]) -> dict[str, str]:
    """`environ` without any setting of the user's, with these, by field name."""
    names = set(NAMES.values())
    environment = {
        name: value
        for name, value in environ.items()
        if name not in names and not name.startswith("STREAMDIALER_")
    }
    root = Path(streamdialer.__file__).resolve().parents[1]
    if (root / "pyproject.toml").exists():  # a checkout: the processes run elsewhere and must import it
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), environ.get("PYTHONPATH")]))
    return environment | {NAMES[field]: str(value) for field, value in settings.items()}
