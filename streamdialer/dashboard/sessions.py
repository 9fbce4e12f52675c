"""Sessions: a signed cookie says who logged in; the settings of today say whether and as what they still may.

Nothing is kept for a session but that it was ended: several dashboards with the same secret accept each other's.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiohttp import web
from itsdangerous import BadSignature, Signer, URLSafeTimedSerializer

from streamdialer.config.dashboard_users import DashboardUsers, Login
from streamdialer.config.settings import Settings

MAX_FAILURES: Final = 5
WINDOW_S: Final = 300.0
MAX_ADDRESSES: Final = 10_000
_SIGNING: Final[dict[str, Any]] = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
ANONYMOUS: Final = Login(name="local user", role="operator", secret="")
"""Who uses a dashboard that has no log-in and answers on this machine only."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks."""

    id: str
    login: Login
    form_token: str
    """Every form carries it: another site's page cannot know it."""

    @property
    def may_act(self) -> bool:
        return self.login.role == "operator"


SESSION: Final = web.RequestKey("session", Session)
"""Where a request that somebody is known to have sent has their session."""


class Sessions:
    """Begins, reads and ends sessions."""

    def __init__(self, settings: Settings) -> None:
        self.logins = DashboardUsers(
            settings.dashboard_users, settings.dashboard_token, settings.dashboard_viewer_token
        )
        self.is_open = not self.logins.logins
        """Nobody logs in: whoever reaches it on this machine may act."""
        self.lasts_s = settings.dashboard_session_ttl_s
        secret = settings.dashboard_secret or secrets.token_urlsafe(32)
        self._sessions = URLSafeTimedSerializer(secret, salt="session", signer_kwargs=_SIGNING)
        self._forms = Signer(secret, salt="form", **_SIGNING)
        self._accounts = Signer(secret, salt="account", **_SIGNING)
        self._ended: dict[str, float] = {}

    def begin(self, login: Login) -> tuple[str, Session]:
        """A new session and its cookie."""
        session = self._session(secrets.token_urlsafe(16), login)
        known_by = (session.id, login.name, login.is_token, self._account(login))
        return str(self._sessions.dumps(known_by)), session

    def read(self, cookie: str) -> Session | None:
        """None for a cookie that is not ours, too old, or of somebody who may no longer log in like that."""
        try:
            known_by: Any = self._sessions.loads(cookie, max_age=int(self.lasts_s))
        except BadSignature:
            return None
        session_id, name, is_token, account = known_by
        login = ANONYMOUS if self.is_open else self.logins.find(name, is_token=is_token)
        if login is None or account != self._account(login) or session_id in self._ended:
            return None
        return self._session(session_id, login)

    def end(self, session: Session) -> None:
        """Its cookie is worth nothing from now on."""
        now = time.monotonic()
        self._ended = {each: until for each, until in self._ended.items() if until > now}
        self._ended[session.id] = now + self.lasts_s

    def is_form_of(self, session: Session, token: str) -> bool:
        return self._forms.verify_signature(session.id.encode(), token.encode(errors="replace"))

    def _session(self, session_id: str, login: Login) -> Session:
        token = self._forms.get_signature(session_id.encode()).decode()
        return Session(id=session_id, login=login, form_token=token)

    def _account(self, login: Login) -> str:
        """Changes with the password and the role: a change of either ends the sessions."""
        return self._accounts.get_signature(f"{login.role}:{login.secret}".encode()).decode()


class LoginThrottle:
    """Log-ins that failed lately, by address: after five within five minutes, even the right password must wait."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at: OrderedDict[str, list[float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """How long nobody may try from there; 0: now."""
        times = self._at.get(_network(address), [])
        recent = [at for at in times if at > self._clock() - WINDOW_S]
        return recent[-MAX_FAILURES] + WINDOW_S - self._clock() if len(recent) >= MAX_FAILURES else 0

    def note(self, address: str) -> None:
        network = _network(address)
        self._at[network] = [*self._at.pop(network, []), self._clock()][-MAX_FAILURES:]
        if len(self._at) > MAX_ADDRESSES:
            self._at.popitem(last=False)


def _network(address: str) -> str:
    """Whom an address belongs to: in IPv6 everybody has 2⁶⁴ of them; some proxies write the port behind it."""
    for written in (address, address.rpartition(":")[0].strip("[]")):
        try:
            parsed = ipaddress.ip_address(written)
        except ValueError:
            continue
        if parsed.version == 4:
            return str(parsed)
        return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
    return address
