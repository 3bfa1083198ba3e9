"""Checkpoints: the .npz format, what it stores, and how a path is resolved to a file.

Imports `data`, `nn`, `optim` and `system`; nothing of training.
Begin with `checkpoint`; the byte format is in `npz_format`.
"""
