"""What each step of a call asks of Redis and over HTTP: `python -m bench.counts`.

Every line: found, and in brackets the limit that a test keeps. `--limits` prints limits for what was found, `--write`
puts the table into docs/performance.md.
"""

from __future__ import annotations

import argparse
import sys

import anyio
import msgspec

from bench.counts.limits import LIMITS, complaints, with_room
from bench.counts.measures import Counts, count_all
from bench.performance_page import table, write

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--limits", action="store_true", help="print the table of bench/counts/limits.py anew"
    )
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    options = parser.parse_args()
    found = anyio.run(count_all)
    if options.limits:
        for step, counts in found.items():
            sys.stdout.write(f'    "{step}": {with_room(counts)},\n')
        sys.exit()
    names = [field.name for field in msgspec.structs.fields(Counts)]
    rows = [
        [step, *(f"{getattr(counts, name):.4g} ({getattr(LIMITS[step], name):.4g})" for name in names)]
        for step, counts in found.items()
    ]
    text = table(["for each", *(name.replace("_", " ") for name in names)], rows)
    sys.stdout.write(text)
    if options.write:
        write("counts", text)
    sys.exit("\n".join(complaints(found)) or 0)
