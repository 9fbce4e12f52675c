"""The faults, one file per kind of victim."""

from bench.chaos.faults.catalogue import CATALOGUE, KINDS, Fault, Forgets

__all__ = ["CATALOGUE", "KINDS", "Fault", "Forgets"]
