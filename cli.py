"""Runs the command line from a checkout: `python cli.py …` is the same as `streamdialer …`."""

from streamdialer.cli import main

if __name__ == "__main__":
    main()
