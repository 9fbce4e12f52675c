"""Runs Lua scripts: joins a script with the shared pieces it uses, and sends the calls of many tasks in one pipeline.

While two pipelines are on their way, further calls gather for the next one: a busy replica makes few round trips, and
an idle replica sends each call at once. Calls of one script with the same keys are joined: Redis makes the functions
of a script anew for each run, which may take longer than the call itself. All scripts are idempotent, so a call whose
reply is lost is simply sent again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import time
from collections import deque
from collections.abc import Iterable, Sequence
from importlib import resources
from types import TracebackType
from typing import Any, Final, Self

import anyio
from redis.asyncio import Redis
from redis.exceptions import DataError, NoScriptError, RedisError, ResponseError

from streamdialer.broker.connection import (
    TRANSIENT,
    is_cluster,
    may_pass,
    refuses_writes,
    stream_is_exhausted,
)
from streamdialer.errors import Unreachable
from streamdialer.observability.metrics import ROUND_TRIP_SECONDS, SCRIPT_SECONDS

log = logging.getLogger(__name__)
Argument = str | int | float
BROKER_PIECES: Final = resources.files("streamdialer.broker") / "lua" / "lib"
BATCH: Final = 256
MOST_JOINED: Final = 20
"""Calls in one run of a script: Redis does nothing else meanwhile."""
_RUN_EACH: Final = """
local answers, first = {}, 1
for i, args in ipairs(cjson.decode(ARGV[#ARGV])) do
  local is_done, answer = pcall(run_one, KEYS, { unpack(ARGV, first, first + args - 1) })
  if not is_done and type(answer) ~= 'table' then answer = { err = 'ERR ' .. tostring(answer) } end
  answers[i] = answer ~= nil and answer
  first = first + args
end
return answers
"""
"""The arguments of each call stand one after the other; the last argument says how many each has.

A call that fails answers its error and costs the others nothing: they keep their answers."""
PIPELINES: Final = 2
"""Sent at once: Redis runs one while Python handles the answers of the other."""
SET_ASIDE_S: Final = 0.5
FIRST_DELAY_S: Final = 0.05
MAX_DELAY_S: Final = 5.0


def backoff_s(failures: int, longest_s: float = MAX_DELAY_S) -> float:
    """The pause after `failures` earlier failures: it doubles up to a cap, with jitter against replicas in step."""
    return min(longest_s, FIRST_DELAY_S * float(2 ** min(failures, 16))) * random.uniform(0.5, 1.0)


def _trouble_text(trouble: BaseException) -> str:
    return "Redis refuses writes" if refuses_writes(trouble) else "Redis does not answer"


def _piece(package: str, name: str) -> str:
    """Source of a shared piece: the package's own, else the one in `broker`."""
    own = resources.files(package) / "lua" / "lib" / f"{name}.lua"
    return (own if own.is_file() else BROKER_PIECES / f"{name}.lua").read_text("utf-8")


class _Source:
    """A text that Redis knows by its hash."""

    def __init__(self, name: str, source: str, *, only_reads: bool = False) -> None:
        self.name = name
        self.source = source
        self.only_reads = only_reads
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


class Script(_Source):
    """One `.lua` file of a package, joined with the pieces named in its `-- uses:` line."""

    def __init__(
        self, package: str, name: str, *, only_reads: bool = False, joins_calls: bool = False
    ) -> None:
        """`only_reads`: also a user of Redis who may not write can run it.

        `joins_calls`: one run may serve several calls with the same keys; what its pieces keep (the
        clock, what they have read) must hold for all of them.
        """
        folder = resources.files(package) / "lua"
        body = (folder / f"{name}.lua").read_text("utf-8")
        uses = [line for line in body.splitlines() if line.startswith("-- uses:")]
        names = [name for line in uses for name in line.removeprefix("-- uses:").split()]
        pieces = [_piece(package, name) for name in names]
        super().__init__(name, "\n".join([*pieces, body]), only_reads=only_reads)
        each = ["local function run_one(KEYS, ARGV)", body, "end", _RUN_EACH]
        self.joined = (
            _Source(name, "\n".join([*pieces, *each]), only_reads=only_reads) if joins_calls else None
        )
        self.seconds = SCRIPT_SECONDS.labels(name)


class _Call:
    __slots__ = ("args", "keys", "result", "script", "was_set_aside")

    def __init__(self, script: Script, keys: Sequence[str], args: Sequence[Argument]) -> None:
        self.script = script
        self.keys = keys
        self.args = args
        self.was_set_aside = False
        self.result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()


class _Run:
    """One run of a script: for a call, or for several that are joined."""

    __slots__ = ("args", "calls", "keys", "script")

    def __init__(self, calls: list[_Call]) -> None:
        self.calls = calls
        self.keys = calls[0].keys
        joined = calls[0].script.joined
        if len(calls) == 1 or joined is None:
            self.script: _Source = calls[0].script
            self.args: Sequence[Argument] = calls[0].args
        else:
            self.script = joined
            counts = "[" + ",".join(str(len(call.args)) for call in calls) + "]"
            self.args = [*(arg for call in calls for arg in call.args), counts]

    def answers(self, answer: Any) -> Sequence[Any]:
        """The answer of each call; a run that Redis refused has one for all."""
        is_joined = self.script is self.calls[0].script.joined
        return answer if is_joined and not isinstance(answer, BaseException) else [answer] * len(self.calls)


def _runs_of(batch: Iterable[_Call]) -> list[_Run]:
    groups: list[list[_Call]] = []
    open_groups: dict[tuple[str, ...], list[_Call]] = {}
    for call in batch:
        if call.script.joined is None:
            groups.append([call])
            continue
        same = (call.script.sha, *call.keys)
        group = open_groups.get(same)
        if group is None or len(group) == MOST_JOINED:
            open_groups[same] = group = []
            groups.append(group)
        group.append(call)
    return [_Run(group) for group in groups]


class Scripts:
    """Async context manager. When the server is away, `patient` calls wait for it; other calls raise Unreachable."""

    def __init__(self, client: Redis, *, patient: bool = True) -> None:
        self.client = client
        self._patient = patient
        self._queue: deque[_Call] = deque()
        self._set_aside = set[_Call]()
        """Calls that write to a stream which takes no entry now."""
        self._has_read_only = True
        """Whether the server has EVALSHA_RO, which Redis 6.2 has not."""
        self._has_calls = asyncio.Event()
        self._servers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._servers = [asyncio.create_task(self._serve(), name="scripts") for _ in range(PIPELINES)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while running := [server for server in self._servers if not server.done()]:
            for server in running:  # repeated: asyncio.wait_for in the client library can lose a cancellation
                server.cancel()
            await asyncio.wait(running, timeout=0.1)
        for call in (*self._queue, *self._set_aside):
            call.result.cancel()

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Argument] = ()) -> Any:
        """The script's answer. Raises Unreachable (not patient) or the server's error reply."""
        call = _Call(script, keys, args)
        self._queue.append(call)
        self._has_calls.set()
        began = time.monotonic()
        answer = await call.result
        script.seconds.observe(time.monotonic() - began)
        return answer

    async def _serve(self) -> None:
        while True:
            await self._has_calls.wait()
            self._has_calls.clear()
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
                try:
                    await self._deliver(batch)
                except (RedisError, TypeError, ValueError) as error:
                    for call in batch:
                        _answer(call, error)
                finally:
                    for call in batch:
                        if not call.result.done():
                            call.result.cancel()

    def _repeat_later(self, call: _Call) -> None:
        """The other calls go on meanwhile: the streams that they write to take entries."""
        if not call.was_set_aside and not self._set_aside:
            log.error("a stream takes no entry until it is made anew; entries for it wait")
        call.was_set_aside = True
        self._set_aside.add(call)
        asyncio.get_running_loop().call_later(SET_ASIDE_S, self._repeat, call)

    def _repeat(self, call: _Call) -> None:
        self._set_aside.discard(call)
        self._queue.append(call)
        self._has_calls.set()

    async def _deliver(self, batch: list[_Call]) -> None:
        """Takes out of the batch what is answered or is repeated later."""
        failures = 0
        while batch:
            trouble: BaseException | None = None
            try:
                runs = _runs_of(call for call in batch if not call.result.done())
                with ROUND_TRIP_SECONDS.time():
                    answers = await self._send(runs)
            except DataError:
                raise  # an argument that cannot be sent, now or later
            except (RedisError, *TRANSIENT) as error:
                trouble = error
            else:
                missing, repeated_later = dict[str, _Source](), set[_Call]()
                for run, answer in zip(runs, answers, strict=True):
                    if isinstance(answer, NoScriptError):
                        missing[run.script.sha] = run.script
                    elif run.script.only_reads and _is_unknown_command(answer):
                        self._has_read_only = False
                    else:
                        for call, its_answer in zip(run.calls, run.answers(answer), strict=True):
                            if self._patient and stream_is_exhausted(its_answer):
                                self._repeat_later(call)
                                repeated_later.add(call)
                            elif may_pass(its_answer):
                                trouble = its_answer  # of its batch, only such calls are sent again
                            else:
                                _answer(call, its_answer)
                batch[:] = [call for call in batch if call not in repeated_later]
                trouble = await self._load(missing.values(), batch) or trouble
            batch[:] = [call for call in batch if not call.result.done()]
            if trouble is None:
                if failures:
                    log.warning("Redis answers again", extra={"tries": failures})
                failures = 0
                continue
            if not self._patient:
                for call in batch:
                    if not call.result.done():
                        call.result.set_exception(Unreachable(f"{_trouble_text(trouble)}: {trouble}"))
                return
            if not failures:
                log.error(f"{_trouble_text(trouble)}, waiting for it", extra={"error": str(trouble)})
            await anyio.sleep(backoff_s(failures))
            failures += 1

    async def _load(self, scripts: Iterable[_Source], batch: list[_Call]) -> BaseException | None:
        """Loads scripts that the server does not have; what keeps the server from it now."""
        for script in scripts:
            try:
                await self.client.script_load(script.source)
            except (RedisError, *TRANSIENT) as error:
                if may_pass(error):
                    return error
                for call in batch:  # the script is at fault, or the user may not load any
                    if script in (call.script, call.script.joined):
                        _answer(call, error)
        return None

    async def _send(self, runs: Sequence[_Run]) -> list[Any]:
        if is_cluster(self.client):  # its pipelines do not take EVALSHA
            return await asyncio.gather(
                *(
                    self._evalsha(self.client, run)(
                        run.script.sha, len(run.keys), *run.keys, *map(str, run.args)
                    )
                    for run in runs
                ),
                return_exceptions=True,
            )
        pipe = self.client.pipeline(transaction=False)
        for run in runs:
            self._evalsha(pipe, run)(run.script.sha, len(run.keys), *run.keys, *run.args)
        return await pipe.execute(raise_on_error=False)

    def _evalsha(self, client: Any, run: _Run) -> Any:
        return client.evalsha_ro if run.script.only_reads and self._has_read_only else client.evalsha


def _is_unknown_command(answer: Any) -> bool:
    return isinstance(answer, ResponseError) and "unknown command" in str(answer)


def _answer(call: _Call, answer: Any) -> None:
    if call.result.done():
        return
    if isinstance(answer, BaseException):
        call.result.set_exception(answer)
    else:
        call.result.set_result(answer)
