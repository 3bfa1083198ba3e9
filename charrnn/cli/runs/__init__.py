"""Runs: the folder of a run, its metrics log, its training data, its environment, and signals.

Imports the core and `cli.output`. Begin with `run_folder`.
"""
