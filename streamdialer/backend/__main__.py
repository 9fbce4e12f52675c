"""Django's own commands on our database: `python -m streamdialer.backend changepassword admin`."""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "streamdialer.backend.settings")
    execute_from_command_line([f"{sys.executable} -m streamdialer.backend", *sys.argv[1:]])
