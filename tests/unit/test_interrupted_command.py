"""Ctrl-C ends a command whatever it waits for."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import anyio
import pytest
from anyio import get_cancelled_exc_class

from streamdialer.cli.common import run_async


async def swallows_an_interruption() -> None:
    """What a client library does that is just sending (asyncio.wait_for in Python 3.11)."""
    os.kill(os.getpid(), signal.SIGINT)
    with suppress(get_cancelled_exc_class()):
        await anyio.sleep(20)
    with anyio.fail_after(5):
        await anyio.sleep(20)


def test_an_interruption_that_a_library_swallows_still_ends_the_command() -> None:
    with pytest.raises(KeyboardInterrupt):
        run_async(swallows_an_interruption)
