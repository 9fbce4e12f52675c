"""A child process: the product's command line with failpoints around its effects.

Forked from a server that has imported everything: otherwise a short run spends most of its time importing.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess

from bench.crash.crash_points import ChildCommand
from bench.crash.failpoint_probe import Probe
from bench.crash.failpoints import install_failpoints
from bench.without_guard import REMOVE
from streamdialer.cli import main

PR_SET_PDEATHSIG = 1


def start_child(
    command: ChildCommand, arguments: list[str], environment: Mapping[str, str], directory: str, log: str
) -> ForkServerProcess:
    """Runs `streamdialer` with the arguments in `directory`; appends its output to `log`."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    child = context.Process(
        target=_work, args=(command, arguments, dict(environment), directory, log), daemon=True
    )
    child.start()
    return child


def _work(
    command: ChildCommand, arguments: list[str], environment: dict[str, str], directory: str, log: str
) -> None:
    if (
        sys.platform == "linux"
    ):  # the fork server ends with the harness, and this process with the fork server
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    os.setsid()
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    for guard in command.without:
        REMOVE[guard]()
    install_failpoints(Probe(command))
    sys.argv = ["streamdialer", *arguments]
    main()
