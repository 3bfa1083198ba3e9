"""How a run is shown and saved; nothing here changes a weight."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RunOptions:
    """How a run behaves while it trains; nothing here changes a single weight."""

    sample_every: int | None
    save_every: int | None
    keep: int
    watch_gradients: bool
    json: bool
    quiet: bool
