"""Platform differences as constants: the flags and signals that Windows does not have."""

import os
import signal

IS_WINDOWS: bool = os.name == "nt"

O_BINARY: int = getattr(os, "O_BINARY", 0)
"""Needed on Windows, where `os.write` would change line ends; 0 elsewhere."""

O_NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
O_NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)

ENDING_SIGNALS: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if hasattr(signal, name)
)
"""Signals that end a command: Ctrl-C, `kill`, a closed terminal (SIGBREAK on Windows)."""
