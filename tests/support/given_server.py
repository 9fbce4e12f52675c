"""The server of `--redis`: one that runs already, or a container that is started for the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

CONTAINER: Final = "container:"
PORT: Final = 6379


class GivenServer(msgspec.Struct, frozen=True):
    """What most tests need of a server; its data is deleted before each of them."""

    url: str


@contextmanager
def given_server(where: str) -> Iterator[GivenServer]:
    """`where` is an address, or `container:IMAGE`, which needs a container engine."""
    if not where.startswith(CONTAINER):
        yield GivenServer(where)
        return
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    container = DockerContainer(where.removeprefix(CONTAINER)).with_exposed_ports(PORT)
    with container.waiting_for(LogMessageWaitStrategy("Ready to accept connections")) as running:
        yield GivenServer(f"redis://{running.get_container_host_ip()}:{running.get_exposed_port(PORT)}")
