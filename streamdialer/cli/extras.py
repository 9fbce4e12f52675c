"""Whether the optional parts of the package are installed, and how to install them."""

from __future__ import annotations

from importlib.util import find_spec


def how_to_install_dashboard() -> str | None:
    """A line that says what to install; None when the dashboard's extra is installed."""
    if find_spec("jinja2") and find_spec("itsdangerous"):
        return None
    return "the dashboard is not installed: pip install 'streamdialer[dashboard]'"


def how_to_install_backend() -> str | None:
    """The same of the backend's extra."""
    if all(map(find_spec, ("django", "rest_framework", "django_filters", "import_export", "waitress"))):
        return None
    return "the backend is not installed: pip install 'streamdialer[backend]'"
