"""`python -m streamdialer` is the same as the `streamdialer` command."""

from streamdialer.cli import main

if __name__ == "__main__":
    main()
