"""Crash at every step: a process is killed between any two effects of every handler.

`python -m bench.crash` records the points that a small campaign passes. Then it repeats the campaign once per point:
a process kills itself there, another takes its place, and the simulated telephone network says what happened.
"""
