"""Interface to the operating system: files, memory limits, processes and shared memory.

Whatever differs between platforms stands here. Imports `errors` and `types` only.
Begin with `child_processes`, or with `memory` for the check before large allocations.
"""
