"""Django's settings, from streamdialer's own: `BACKEND_…` and `DATABASE_URL`, options, environment and `.env`."""

from __future__ import annotations

import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url

from streamdialer.backend.data_folder import DATABASE, read_secret_key
from streamdialer.config.loading import load

_OURS = load().settings
DATA_FOLDER = Path(_OURS.backend_data).absolute()
SECRET_KEY = read_secret_key(DATA_FOLDER) or secrets.token_urlsafe(64)
"""The server makes the folder's key before it comes here; type checkers and Django's commands need any."""

_NAMES = [name.strip() for name in _OURS.backend_hosts.split(",") if name.strip()]
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", *_NAMES]
CSRF_TRUSTED_ORIGINS = [f"https://{name}" for name in _NAMES]
DEBUG = False
if _OURS.backend_behind_proxy:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_AGE = 43_200

INSTALLED_APPS = [
    "streamdialer.backend",
    "streamdialer.backend.site.SiteConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework_simplejwt",
    "django_filters",
    "import_export",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "streamdialer.backend.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
IMPORT_EXPORT_ESCAPE_FORMULAE_ON_EXPORT = True
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True
LOGGING_CONFIG = None
"""The command sets up the logs."""
DATA_UPLOAD_MAX_MEMORY_SIZE = 16_000_000

SQLITE: dict[str, Any] = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": DATA_FOLDER / DATABASE,
    "CONN_MAX_AGE": None,
    "OPTIONS": {
        "timeout": 8,  # seconds that a writer waits for another; less than the dialer waits for a reply
        "transaction_mode": "IMMEDIATE",  # a transaction that reads first cannot fail when it writes
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-4000;",
    },
}
DATABASES = {
    "default": dj_database_url.parse(_OURS.database_url, conn_max_age=600, conn_health_checks=True)
    if _OURS.database_url
    else SQLITE
}

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("es", "Español")]
TIME_ZONE = "UTC"
USE_TZ = True

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["streamdialer.backend.api.permissions.RolePermissions"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "streamdialer.backend.api.pages.StablePages",
    "DEFAULT_FILTER_BACKENDS": [
        "django_filters.rest_framework.DjangoFilterBackend",
        "streamdialer.backend.api.pages.Ordering",
    ],
    "EXCEPTION_HANDLER": "streamdialer.backend.api.errors.answer",
    "DEFAULT_THROTTLE_RATES": {"login": "60/min"},
    "UNAUTHENTICATED_USER": None,
}
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(seconds=_OURS.backend_token_ttl_s),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=1),
    "CHECK_REVOKE_TOKEN": True,  # a new password ends the tokens of the old one
}
