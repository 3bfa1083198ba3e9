"""Neural network: cells, layers, the readout, and their gradients.

`ops` and `cells` hold each forward pass beside its backward pass; `network` puts them together.
Imports the modules of the root and `system`; nothing of data or optimisation.
Begin with `cells.rnn`, then `network`.
"""
