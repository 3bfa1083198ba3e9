"""Neural network: cells, layers, the readout, and their gradients.

`ops` and `cells` hold each forward pass followed by its backward pass; `network` combines them.
Imports the modules of the root and `system`; nothing of data or optimisation.
Begin with `cells.rnn`, then `network`.
"""
