"""`python -m bench.crash.child ORDERS -- consume …`: the product's command line with failpoints around its doors."""

from __future__ import annotations

import sys

import msgspec

from bench.crash.doors import open_doors
from bench.crash.points import Orders
from bench.crash.probe import Probe
from bench.crash.sabotage import take_out
from streamdialer.cli import main

if __name__ == "__main__":
    _, raw, _, *arguments = sys.argv
    orders = msgspec.json.decode(raw, type=Orders)
    take_out(orders.without)
    open_doors(Probe(orders))
    sys.argv = ["streamdialer", *arguments]
    main()
