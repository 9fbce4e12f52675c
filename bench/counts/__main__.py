"""What each step of a call asks of Redis and over HTTP: `python -m bench.counts`.

Every line: found, and in brackets the limit that a test keeps. `--limits` prints limits for what was found.
"""

from __future__ import annotations

import argparse
import sys

import anyio
import msgspec

from bench.counts.limits import LIMITS, complaints, with_room
from bench.counts.measures import Counts, count_all

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--limits", action="store_true", help="print the table of bench/counts/limits.py anew"
    )
    options = parser.parse_args()
    found = anyio.run(count_all)
    if options.limits:
        for step, counts in found.items():
            sys.stdout.write(f'    "{step}": {with_room(counts)},\n')
        sys.exit()
    names = [field.name for field in msgspec.structs.fields(Counts)]
    sys.stdout.write(f"{'for each':12}" + "".join(f"{name.replace('_', ' '):>20}" for name in names) + "\n")
    for step, counts in found.items():
        columns = [f"{getattr(counts, name):.5g} ({getattr(LIMITS[step], name):.5g})" for name in names]
        sys.stdout.write(f"{step:12}" + "".join(f"{column:>20}" for column in columns) + "\n")
    sys.exit("\n".join(complaints(found)) or 0)
