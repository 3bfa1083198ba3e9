"""Command `charrnn inspect-gradients`: models to inspect, metrics, and views.

Imports the core, `cli.output` and `cli.runs`. Begin with `command`, then `inspection` and
`metrics`, the registry of what `--all` measures.
"""
