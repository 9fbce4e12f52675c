"""Sessions: a signed cookie names the user; the current settings decide whether and in which role they may log in.

The server stores only which sessions were ended, so several dashboards with the same secret accept each other's.
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
MAX_USER_FAILURES: Final = 20
MAX_COUNTED: Final = 20_000
"""Address blocks and users whose failures are remembered."""
_SIGNING: Final[dict[str, Any]] = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
ANONYMOUS: Final = Login(name="local user", role="operator", secret="")
"""The user of a dashboard that has no log-in and answers on this machine only."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    login: Login
    form_token: str
    """Every form carries it; another site's page cannot know it."""

    @property
    def is_anonymous(self) -> bool:
        return self.login is ANONYMOUS

    @property
    def may_act(self) -> bool:
        return self.login.role == "operator"


SESSION: Final = web.RequestKey("session", Session)
"""Key of the session in a request."""


class Sessions:
    def __init__(self, settings: Settings) -> None:
        self.users = DashboardUsers(
            settings.dashboard_users, settings.dashboard_token, settings.dashboard_viewer_token
        )
        self.require_login = bool(self.users.logins)
        """If False, everybody who can use this machine is an operator."""
        self.ttl_s = settings.dashboard_session_ttl_s
        secret = settings.dashboard_secret or secrets.token_urlsafe(32)
        self._sessions = URLSafeTimedSerializer(secret, salt="session", signer_kwargs=_SIGNING)
        self._forms = Signer(secret, salt="form", **_SIGNING)
        self._accounts = Signer(secret, salt="account", **_SIGNING)
        self._ended: dict[str, float] = {}

    def begin(self, login: Login) -> tuple[str, Session]:
        session = self._session(secrets.token_urlsafe(16), login)
        claims = (session.id, login.name, login.is_token, self._account_signature(login))
        return str(self._sessions.dumps(claims)), session

    def read(self, cookie: str) -> Session | None:
        """None for a cookie that is forged or expired, of an ended session, or of a user whose log-in has changed."""
        try:
            claims: Any = self._sessions.loads(cookie, max_age=int(self.ttl_s))
        except BadSignature:
            return None
        session_id, name, is_token, account = claims
        login = self.users.find(name, is_token=is_token) if self.require_login else ANONYMOUS
        if login is None or account != self._account_signature(login) or session_id in self._ended:
            return None
        return self._session(session_id, login)

    def end(self, session: Session) -> None:
        """Its cookie is not accepted any more."""
        now = time.monotonic()
        self._ended = {each: until for each, until in self._ended.items() if until > now}
        self._ended[session.id] = now + self.ttl_s

    def is_valid_form_token(self, session: Session, token: str) -> bool:
        return self._forms.verify_signature(session.id.encode(), token.encode(errors="replace"))

    def _session(self, session_id: str, login: Login) -> Session:
        token = self._forms.get_signature(session_id.encode()).decode()
        return Session(id=session_id, login=login, form_token=token)

    def _account_signature(self, login: Login) -> str:
        """Changes with the password and the role, so a change of either ends the user's sessions."""
        return self._accounts.get_signature(f"{login.role}:{login.secret}".encode()).decode()


class LoginThrottle:
    """Counts failed log-ins within five minutes: after five of an address block even the right password must wait.

    After twenty for one user, wherever they came from, that user must wait.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], list[float]] = OrderedDict()

    def wait_s(self, address: str, user: str = "") -> float:
        """How long this address, or this user, must wait; 0 when it may try now."""
        now = self._clock()
        waits = [0.0]
        for name, most in _counted(address, user):
            recent = [at for at in self._failures.get(name, []) if at > now - WINDOW_S]
            if len(recent) >= most:
                waits.append(recent[-most] + WINDOW_S - now)
        return max(waits)

    def record_failure(self, address: str, user: str = "") -> None:
        for name, most in _counted(address, user):
            self._failures[name] = [*self._failures.pop(name, []), self._clock()][-most:]
        while len(self._failures) > MAX_COUNTED:
            self._failures.popitem(last=False)


def _counted(address: str, user: str) -> list[tuple[tuple[str, str], int]]:
    """What failures are counted by, and how many of them may be."""
    return [(("address", _block(address)), MAX_FAILURES), (("user", user), MAX_USER_FAILURES)]


def _block(address: str) -> str:
    """The block that one guesser may hold: 256 IPv4 addresses, or a site's IPv6 addresses.

    Some proxies write the port behind the address.
    """
    for written in (address, address.rpartition(":")[0].strip("[]")):
        try:
            parsed = ipaddress.ip_address(written)
        except ValueError:
            continue
        mapped = parsed.ipv4_mapped if parsed.version == 6 else None
        parsed = mapped or parsed
        return str(ipaddress.ip_network((parsed, 24 if parsed.version == 4 else 48), strict=False))
    return address
