"""Evaluation: loss and accuracy of a model on texts and pairs, and baselines to compare with.

Imports `data`, `nn` and `optim`. Begin with `text`.
"""
