"""Lossless compression of texts with the probabilities of a language model.

Imports `data`, `nn`, `system`, `checkpointing` and `inference`; nothing of training or analysis.
Begin with `compressor`. `fixed_point` computes a network in integers, so that every machine finds
the same probabilities; `range_coder` turns them into bytes.
"""
