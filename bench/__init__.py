"""Attacks and measurements: what the guarantees are shown with. Each is a command, `python -m bench.<name>`."""
