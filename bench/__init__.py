"""Programs that put streamdialer to the test: run from a checkout with `python -m bench.…`."""
