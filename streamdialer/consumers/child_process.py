"""Starts processes that do not outlive the process that started them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

# A program of its own and not `preexec_fn`, which is unsafe (and warned about) in a process with threads.
_LAUNCHER: Final = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, int(sys.argv[2]), 0, 0, 0)  # 1 is PR_SET_PDEATHSIG
if os.getppid() != int(sys.argv[1]):
    os._exit(1)  # the parent died before the request was made
os.execv(sys.argv[3], sys.argv[3:])
"""


def with_parent_death_signal(
    command: Sequence[str], death_signal: signal.Signals = signal.SIGKILL
) -> list[str]:
    """The command line that becomes `command` after asking the kernel (Linux) for a signal when this process dies.

    The process keeps its id. To the kernel the parent is the thread that forked it. `command[0]` is a path.
    """
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), str(int(death_signal)), *command]
