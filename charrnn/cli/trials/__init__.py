"""Trials: runs of `charrnn train` side by side, each in a process of its own.

Begin with `trial`, which runs one of them, then `scheduler`, which runs all.
"""
