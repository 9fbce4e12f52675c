"""How people, phones and agents behave in the simulated call centre, and how its services answer.

Durations are seconds of *life*, the time inside the simulated world: at `speed` 60 a wall-clock minute is an hour of
life.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from streamdialer.errors import SettingsError

Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]


class WorldConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers, and for how long; the defaults are a plausible consumer list."""

    human: Probability = 0.30
    """Probability that a person answers."""
    machine: Probability = 0.10
    """Probability that an answering machine answers."""
    busy: Probability = 0.08
    failed: Probability = 0.04
    """Probability that the network refuses the call. The rest ring until the time-out."""
    setup_s: tuple[float, float] = (0.5, 1.5)
    """From originate to ringing, or to busy or failed: uniform."""
    answer_mean_s: float = 12.0
    """From ringing to a person's answer: gamma, cut at the ring time-out."""
    answer_shape: float = 4.0
    machine_answer_s: tuple[float, float] = (7.0, 9.0)
    """From ringing to a machine's answer: uniform."""
    voicemail_hold_s: tuple[float, float] = (5.0, 7.0)
    """From a machine's answer to its end: uniform."""
    patience_s: float = 2.0
    """How long a person who answered waits for an agent before hanging up."""
    talk_mean_s: float = 120.0
    """Talk and wrap-up are log-normal."""
    talk_cv: float = 1.0
    """Standard deviation over mean."""
    wrap_up_mean_s: float = 20.0
    wrap_up_cv: float = 0.8
    lines: int | None = None
    """Calls the trunk carries at once; calls beyond that are busy. None: no limit."""
    answer_curve: tuple[tuple[float, float], ...] = ()
    """(second, factor on `human`) in order, with straight lines between; two points at one second are a step."""
    trunk_busy: tuple[tuple[float, float], ...] = ()
    """(from, until) seconds during which every call is busy."""

    def __post_init__(self) -> None:
        if (total := self.human + self.machine + self.busy + self.failed) > 1 + 1e-9:
            raise SettingsError(f"the probabilities of a call's outcomes add up to {total:g}; at most 1")


class CentreConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How the backend and the Dialer API of the call centre answer."""

    reply: Literal["held", "immediate", "serial"] = "held"
    """`held`: the originate reply comes when the phone stops ringing, without a call id.
    `immediate`: the reply comes at once, with the call id.
    `serial`: as the deployed API: a call is placed when the one before it has stopped ringing, and nearly every reply
    is 500; it comes when the phone stops ringing, or at once, before the call is placed."""
    serial_calls: int | None = None
    """After so many calls a serial API is logged off by Asterisk: it answers 500 and places nothing. None: never."""
    honours_key: bool = False
    """A repeated Idempotency-Key gets the first reply again instead of a second call."""
    dialer_api_port: int = 0
    """On loopback; 0: any."""
    serves_backend: bool = True
    """False: another program is the backend."""
    agent_list_lag_s: float = 0.0
    """How old the states in the lists of agents are, in seconds of life."""
    backend_token: str | None = None
    """Bearer token that the backend accepts."""
    backend_username: str | None = None
    """User name that the backend's log-in accepts."""
    backend_password: str | None = None
    dialer_api_token: str | None = None
    """Bearer token that the Dialer API accepts."""
