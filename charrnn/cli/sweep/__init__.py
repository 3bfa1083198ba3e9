"""`charrnn sweep`: grid and random search over options of `charrnn train`.

Begin with `command`, then `search` (what is tried), `training_part` (what it is tried on) and
`plan` (the folder of a sweep). `cli.trials` trains the runs.
"""
