"""Traits of the options of `charrnn train`: with `--resume`, `--init-from`, pairs, and in output.

To add an option: a parameter in `command`, a field of a configuration if it is a setting, and a
line here if it differs from the defaults of `Traits`.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Traits:
    """Traits of an option.

    Args:
        resume_ok: whether it may be given with `--resume`, which keeps the settings of a run.
        text_only: whether it has no effect for pairs, which are read as whole examples.
        from_checkpoint: why it has no effect with `--init-from`; empty if it has one.
        shown: whether the line "chosen" has it always, never, or where a preset would differ.
    """

    resume_ok: bool = False
    text_only: bool = False
    from_checkpoint: str = ""
    shown: Literal["always", "never", "if different"] = "if different"


WEIGHTS = Traits(from_checkpoint="the weights of the checkpoint are used")
ALWAYS, NEVER, RESUME_OK = Traits(shown="always"), Traits(shown="never"), Traits(resume_ok=True)

TRAITS = {
    "corpus": RESUME_OK,
    "as_bytes": Traits(text_only=True),
    "min_count": Traits(text_only=True, from_checkpoint="the vocabulary of the checkpoint is used"),
    "cell": ALWAYS,
    "layers": ALWAYS,
    "hidden": ALWAYS,
    "dropout": ALWAYS,
    "init": WEIGHTS,
    "input_init": WEIGHTS,
    "gain": WEIGHTS,
    "input_gain": WEIGHTS,
    "forget_bias": WEIGHTS,
    "optimiser": ALWAYS,
    "lr": ALWAYS,
    "seq_length": Traits(text_only=True, shown="always"),
    "batch_size": ALWAYS,
    "state_reset_prob": Traits(text_only=True),
    "val_limit": Traits(text_only=True),
    "teacher": Traits(resume_ok=True, text_only=True),
    "train_teachers": Traits(text_only=True),
    "generated": Traits(text_only=True),
    "resume": RESUME_OK,
    "sample_every": RESUME_OK,
    "save_every": RESUME_OK,
    "keep": RESUME_OK,
    "watch_gradients": RESUME_OK,
    "json": RESUME_OK,
    "quiet": RESUME_OK,
    "on_nonfinite": RESUME_OK,
    "workers": Traits(resume_ok=True, shown="never"),
    # Settings that the line "chosen" shows elsewhere, or that have no option:
    **dict.fromkeys(("inputs", "outputs", "readout_init", "loss"), NEVER),
    **dict.fromkeys(("steps", "seed", "backend"), NEVER),
}
"""Traits by the name of a parameter of `train` or of a field of a configuration."""

RESUMABLE = {name for name, traits in TRAITS.items() if traits.resume_ok}
TEXT_ONLY = tuple(name for name, traits in TRAITS.items() if traits.text_only)
FROM_CHECKPOINT = {
    name: traits.from_checkpoint for name, traits in TRAITS.items() if traits.from_checkpoint
}
ALWAYS_SHOWN = tuple(name for name, traits in TRAITS.items() if traits.shown == "always")
NEVER_SHOWN = tuple(name for name, traits in TRAITS.items() if traits.shown == "never")
