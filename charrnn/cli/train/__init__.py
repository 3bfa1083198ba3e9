"""`charrnn train`: planning, the loop that shows and saves, resuming, and reports.

Imports the core, `cli.output` and `cli.runs`. Begin with `command`, then `setup` and `loop`.
"""
