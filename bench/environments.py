"""Virtual environments for what is not ours: each has exactly the packages of its file in bench/requirements."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / ".venv-bench"
REQUIREMENTS: Final = Path(__file__).parent / "requirements"


def environment_of(name: str) -> Path:
    """Its folder of commands; made at the first use, and again when the requirements have changed."""
    wanted = REQUIREMENTS / f"{name}.txt"
    folder = FOLDER / name
    stamp = folder / "requirements.sha256"
    digest = hashlib.sha256(wanted.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != digest:
        sys.stderr.write(f"installing {wanted.name} into {folder.relative_to(ROOT)}\n")
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run(
            [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--requirement", wanted],
            check=True,
            stdout=sys.stderr,
        )
        stamp.write_text(digest)
    return folder / "bin"
