"""The whole platform on one machine: real producer and replicas, everything around them simulated."""

from streamdialer.demo.options import DemoOptions
from streamdialer.demo.run import run_demo
from streamdialer.demo.summary import Summary

__all__ = ["DemoOptions", "Summary", "run_demo"]
