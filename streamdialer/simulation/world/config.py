"""How people, phones and agents behave in the simulated call centre, and how its programs answer.

Durations are seconds of *life*, the time inside the simulated world: at `speed` 60 a wall-clock minute is an
hour of life.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from streamdialer.errors import SettingsError

Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]


class WorldConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Who picks up and for how long; the defaults are a plausible consumer list."""

    human: Probability = 0.30
    """Probability that a person answers."""
    machine: Probability = 0.10
    """Probability that an answering machine does."""
    busy: Probability = 0.08
    failed: Probability = 0.04
    """Probability that the network refuses the call. All the rest ring until the time-out."""
    setup_s: tuple[float, float] = (0.5, 1.5)
    """From originate to ringing, or to busy or failed: uniform."""
    answer_mean_s: float = 12.0
    """From ringing to a person's answer: gamma, cut to the ring time-out."""
    answer_shape: float = 4.0
    machine_answer_s: tuple[float, float] = (7.0, 9.0)
    """From ringing to a machine's answer: uniform."""
    machine_hold_s: tuple[float, float] = (5.0, 7.0)
    """From a machine's answer to its end: uniform."""
    patience_s: float = 2.0
    """How long a person who answered waits for an agent before hanging up."""
    talk_mean_s: float = 120.0
    """Log-normal, as is wrap-up."""
    talk_cv: float = 1.0
    """Standard deviation over mean."""
    wrap_up_mean_s: float = 20.0
    wrap_up_cv: float = 0.8
    lines: int | None = None
    """Calls the trunk carries at once; what is placed beyond is busy. None: as many as are placed."""
    answer_course: tuple[tuple[float, float], ...] = ()
    """(second, factor on `human`) in order, straight lines between; two at one second are a step."""
    trunk_busy: tuple[tuple[float, float], ...] = ()
    """(from, until) seconds during which the trunk answers every call with busy."""
    final: frozenset[str] = frozenset({"completed", "machine"})
    """Ends of a call after which the contact must not be dialed again."""
    call_id_prefix: str = "call"
    """Begins every call id; another one per run keeps two runs on one Redis apart."""
    reaction_samples: int = 10_000
    """How many reaction times are kept, newest last."""

    def __post_init__(self) -> None:
        if (total := self.human + self.machine + self.busy + self.failed) > 1 + 1e-9:
            raise SettingsError(f"the probabilities of a call's outcomes add up to {total:g}; at most 1")


class CentreConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How the backend and the Dialer API of the call centre answer."""

    reply: Literal["held", "immediate"] = "held"
    """`held`: the originate reply waits until the phone stops ringing and names no call, as deployed.
    `immediate`: it comes at once, with the call id."""
    honours_key: bool = False
    """A repeated Idempotency-Key gets the first reply again instead of a second call."""
    backend_token: str | None = None
    """Bearer token the backend takes."""
    backend_username: str | None = None
    backend_password: str | None = None
    """User name and password the backend's log-in takes."""
    dialer_api_token: str | None = None
    """Bearer token the Dialer API takes."""
    backend_port: int = 0
    """0 is any free port."""
    dialer_api_port: int = 0
    internal_url: str = "http://django:8000"
    """Begins the `next` link of a page: the name the backend believes to have."""
