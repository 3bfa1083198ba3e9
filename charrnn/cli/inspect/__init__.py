"""`charrnn inspect-gradients`: which models, what is measured, and how it is shown.

Imports the core, `cli.output` and `cli.runs`. Begin with `command`, then `inspection`.
"""
