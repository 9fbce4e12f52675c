"""SimpleJWT log-ins, a limited number a minute from one address."""

from __future__ import annotations

from rest_framework.throttling import ScopedRateThrottle
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView


class LogIn(TokenObtainPairView):
    throttle_classes = (ScopedRateThrottle,)
    throttle_scope = "login"


class Refresh(TokenRefreshView):
    """The contract's other side of an access token that has expired."""
