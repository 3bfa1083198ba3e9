"""Inference: using a trained model to generate text or to predict answers.

Imports `data`, `nn`, `checkpointing` and `evaluation`; nothing of training or analysis.
Begin with `model`; `sampling` draws characters, `predictor` answers pairs.
"""
