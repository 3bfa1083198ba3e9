"""Optimisation: optimisers, gradient clipping, learning-rate schedules.

Each works on one flat vector of weights. Imports the modules of the root only.
Begin with `optimisers`.
"""
