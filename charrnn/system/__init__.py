"""Interface to the operating system: files, locks, memory, signals, processes and shared memory.

Whatever differs between platforms stands here. Imports `errors` and `types` only.
Begin with `platform`, then `files`.
"""
