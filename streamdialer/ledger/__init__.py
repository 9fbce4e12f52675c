"""The ledger: the state of every contact and of every attempt.

Each change is one Lua script with one typed stub, its only caller.
"""
