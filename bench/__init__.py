"""Long runs that measure or attack the whole dialer; each is a command: `python -m bench.…`."""
