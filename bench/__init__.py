"""Attacks and measurements that show the guarantees. Each is a command: `python -m bench.<name>`."""
