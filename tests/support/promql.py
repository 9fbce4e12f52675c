"""Prometheus' own checker: where `make test` has put it, or where it is installed."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

PROMTOOL: Final = shutil.which("promtool") or shutil.which("promtool", path=Path(sys.executable).parent)
WITHOUT_PROMTOOL: Final = (
    "promtool is not here: `.ci/promtool .venv/bin` fetches it from Debian's package prometheus"
)
