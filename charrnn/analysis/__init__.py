"""Analysis: gradient profile, Jacobians, unit statistics, use of context, and the memory probe.

These are the measurements of `charrnn inspect-gradients`; `unit_features` names units that follow a
feature of the text. Imports `data`, `nn`, `optim`,
`evaluation` and `training`. Begin with `gradient_profile`, then `diagnosis`, which turns its
numbers into a verdict.
"""
