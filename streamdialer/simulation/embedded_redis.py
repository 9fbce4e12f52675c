"""A Redis-compatible server for the demo and the tests; it ends with the process that started it.

On Linux a short launcher asks the kernel to kill the server when its parent dies, then becomes the server. On macOS
only a normal exit ends the server.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from streamdialer.consumers.child_process import with_parent_death_signal
from streamdialer.errors import CannotBeDone
from streamdialer.operations.redis_server import executable, find_binary
from streamdialer.operations.session import free_port

START_TIMEOUT_S, STOP_TIMEOUT_S = 10.0, 5.0


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
        """`appendonly` keeps the data over kill() and restart(). `args` are added to the command line, `env` to the
        environment."""
        self._tcp = tcp
        self._appendonly = appendonly
        self._password = password
        self._env = dict(env or {})
        self._args = args
        self._directory: Path | None = None
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """For a Redis client; contains the password when there is one."""
        login = f":{quote(self._password, safe='')}@" if self._password else ""
        if self._tcp:
            return f"redis://{login}127.0.0.1:{self._port}"
        return f"unix://{login}{self.directory / 'server.sock'}"

    @property
    def directory(self) -> Path:
        """Data, log and socket; exists from start() to stop()."""
        if self._directory is None:
            raise CannotBeDone("the embedded server has not been started")
        return self._directory

    @property
    def pid(self) -> int:
        """Process id; after kill() that of the dead process, 0 before start()."""
        return self._process.pid if self._process else 0

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Returns when the server answers PING; raises CannotBeDone with the end of its log when it does not."""
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
        """Ends the server and removes its directory; does nothing when it is not running."""
        self._end(signal.SIGTERM)
        atexit.unregister(self.stop)
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
        self._directory = self._process = None

    def kill(self) -> None:
        """SIGKILL, like a crash; restart() brings the server back."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Starts again at the same address with the same data directory; only `appendonly` data is still there."""
        self._end(signal.SIGTERM)
        self._launch()

    def _write_settings(self) -> None:
        lines = [f'dir "{self.directory}"', 'save ""', f"appendonly {'yes' if self._appendonly else 'no'}"]
        lines += ["bind 127.0.0.1", f"port {self._port}"]  # 0: no TCP port
        if not self._tcp:
            lines += [f'unixsocket "{self.directory / "server.sock"}"', "unixsocketperm 700"]
        if self._password:  # in a file that only we can read; other users can see a process's arguments
            escaped = self._password.replace("\\", "\\\\").replace('"', '\\"')
            lines.append(f'requirepass "{escaped}"')
        (self.directory / "server.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _launch(self) -> None:
        binary = executable(find_binary(), self.directory)
        command = with_parent_death_signal([str(binary), str(self.directory / "server.conf"), *self._args])
        started = threading.Event()

        def run_server() -> None:
            # To the kernel the parent is the thread that forked, so this thread lives as long as the server.
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

        self._thread = threading.Thread(target=run_server, name="embedded-server", daemon=True)
        self._thread.start()
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
        reason = f"did not answer within {START_TIMEOUT_S:g} s" if self.is_running else "ended at once"
        self._end(signal.SIGKILL)
        log = (self.directory / "server.log").read_text(encoding="utf-8", errors="replace")
        tail = "\n".join(log.splitlines()[-10:])
        raise CannotBeDone(f"the embedded server {reason}; the end of its log:\n{tail}")

    def _end(self, first: signal.Signals) -> None:
        for number in (first, signal.SIGKILL):
            if self._process and self._thread and self._thread.is_alive():
                self._process.send_signal(number)
                self._thread.join(STOP_TIMEOUT_S)
