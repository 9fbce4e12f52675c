"""Crash at every step: a process killed between any two effects of every handler, and what is true afterwards.

`python -m bench.crash` records the points a small campaign passes, then repeats the campaign once per point, with a
process that kills itself there and another that takes its place, and asks the telephone network what happened.
"""
