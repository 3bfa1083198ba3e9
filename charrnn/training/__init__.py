"""Training: datasets, compute backends, worker processes, and the training loop.

Imports every package above it but `inference`. Begin with `trainer`, whose `train` yields events.
"""
