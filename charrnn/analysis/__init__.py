"""Analysis: how far gradients reach, and what a model does with its context.

What `charrnn inspect-gradients` measures. Imports `data`, `nn`, `optim`, `evaluation` and
`training`. Begin with `gradient_profile`; `diagnosis` turns its numbers into a verdict.
"""
