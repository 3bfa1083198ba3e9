"""Train, sample and look inside character-level recurrent networks, in NumPy."""

__version__ = "0.1.0"
