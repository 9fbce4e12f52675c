"""examples/webhook_receiver.py gets what `streamdialer webhooks` posts."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streamdialer.broker.keys import Keys
from streamdialer.consumers.webhooks import group_name
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.eventually import wait_until

ROOT = Path(__file__).parents[2]
STREAM = Keys().outcomes
SECRET = "whsec_c2l4dGVlbiBieXRlcyBhbmQgc29tZSBtb3Jl"


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.leaves(STREAM)
def test_the_example_prints_an_outcome(db: Any, server: EmbeddedServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "REDIS_URL": server.url,
        "STREAMDIALER_WEBHOOKS_SECRETS": SECRET,
        "STREAMDIALER_WEBHOOKS_PRIVATE_ADDRESSES": "true",
        "WEBHOOK_SECRET": SECRET,
        "PORT": str(port),
    }
    command = [sys.executable, "-m", "streamdialer", "webhooks", "--url", url]
    with (
        subprocess.Popen(
            [sys.executable, str(ROOT / "examples/webhook_receiver.py")],
            env=environment,
            stdout=subprocess.PIPE,
        ) as receiver,
        subprocess.Popen(command, env=environment) as webhooks,
    ):
        try:
            wait_until(lambda: answers(port) and db.exists(Keys().webhooks_lease(group_name(url))))
            data = {"campaign_id": 7, "contact_id": 123, "disposition": "busy", "duration": None}
            db.xadd(STREAM, {"type": "attempt_ended", "data": json.dumps(data)})
            assert receiver.stdout is not None
            assert receiver.stdout.readline() == b"123 busy None\n"
            webhooks.send_signal(signal.SIGTERM)
            assert webhooks.wait(15) == 0
            assert not db.exists(Keys().webhooks_lease(group_name(url)))
        finally:
            receiver.kill()
            webhooks.kill()
