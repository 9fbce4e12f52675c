"""What is done to the dialer, one file per victim."""

from bench.chaos.faults.catalogue import CATALOGUE, KINDS, Fault, Forgets

__all__ = ["CATALOGUE", "KINDS", "Fault", "Forgets"]
