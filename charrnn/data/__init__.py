"""Data: from bytes on disk to batches of ids (T, B).

Reads and decodes texts and files of pairs, numbers their symbols, and cuts them into batches.
Imports the modules of the root and `system`; nothing of the network. Begin with `text_files`,
`vocabulary` and `text_batches`; for pairs with `layouts` and `pair_batches`.
"""
