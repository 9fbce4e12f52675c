"""The demo: a real producer and real replicas on one machine, everything around them simulated."""

from streamdialer.simulation.demo.options import DemoOptions
from streamdialer.simulation.demo.run import run_demo
from streamdialer.simulation.demo.summary import Summary

__all__ = ["DemoOptions", "Summary", "run_demo"]
