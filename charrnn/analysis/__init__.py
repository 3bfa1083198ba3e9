"""Analysis: gradient profile, Jacobians, unit statistics, use of context, and the memory probe.

These are the measurements of `charrnn inspect-gradients`; `unit_features` and `unit_spans` are
those of `charrnn neurons`. Imports `data`, `nn`, `optim`, `evaluation` and `training`. Begin with
`gradient_profile`, then `diagnosis`, which turns its numbers into a verdict.
"""
