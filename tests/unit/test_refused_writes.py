"""A server that takes no writes now is no fault of ours: the same call is tried until it does."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    ClusterError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from streamdialer.broker.connection import may_pass, ping, refuses_writes
from streamdialer.errors import Unreachable

SCRIPT_62 = "Error running script (call to f_{sha}): @user_script:6: @user_script: 6: -{said}"
SCRIPT_7 = "{said} script: {sha}, on @user_script:6."
PIPELINE = "Command # 2 (XADD dialer:events * type x) of pipeline caused error: {said}"
REFUSALS = (
    "NOREPLICAS Not enough good replicas to write.",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "READONLY You can't write against a read only replica.",
    "BUSY Redis is busy running a script.",
    "LOADING Redis is loading the dataset in memory",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "CLUSTERDOWN The cluster is down",
    "ERR The stream has exhausted the last possible ID, unable to add more items",
)


@pytest.mark.parametrize("said", REFUSALS, ids=lambda said: said.split()[0])
@pytest.mark.parametrize("form", ["{said}", SCRIPT_62, SCRIPT_7, PIPELINE])
def test_a_refusal_passes_however_the_server_writes_it(said: str, form: str) -> None:
    error = ResponseError(form.format(said=said, sha="f" * 40))
    assert may_pass(error)
    assert refuses_writes(error)


@pytest.mark.parametrize(
    "kind",
    [
        BusyLoadingError,
        ClusterDownError,
        ClusterError,
        MasterDownError,
        OutOfMemoryError,
        ReadOnlyError,
        OSError,
    ],
)
def test_an_error_of_such_a_kind_passes_whatever_it_says(kind: type[Exception]) -> None:
    assert may_pass(kind("TTL exhausted."))


@pytest.mark.parametrize(
    "said",
    [
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "BUSYGROUP Consumer Group name already exists",
        "NOGROUP No such key 'x' or consumer group 'OOM '",
        "NOPERM this user has no permissions to run the 'xadd' command",
        PIPELINE.replace("type x", "note of pipeline caused error: OOM x").format(said="WRONGTYPE x"),
    ],
)
def test_other_errors_do_not_pass(said: str) -> None:
    assert not may_pass(ResponseError(said))


class Refusing:
    """A client whose server refuses every PING."""

    def __init__(self, said: str) -> None:
        self._said = said

    async def ping(self) -> None:
        raise ResponseError(self._said)


@pytest.mark.anyio
async def test_a_server_with_a_full_disk_is_there_and_is_read_from() -> None:
    """It refuses PING, too: what reads would say that Redis is away, and REDIS_URL wrong."""
    full: Any = Refusing("MISCONF Errors writing to the AOF file: No space left on device")
    await ping(full, "redis://host")
    starting: Any = Refusing("LOADING Redis is loading the dataset in memory")
    with pytest.raises(Unreachable, match="cannot be reached: LOADING"):
        await ping(starting, "redis://host")
