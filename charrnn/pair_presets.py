"""What is not said is chosen here for pairs: the size, the batch, the memory, dropout.

The rule was tried on the demonstrations and on pairs of other kinds, each with a split inside its
training part.
"""

import math
from collections.abc import Mapping

from charrnn.batches import Examples
from charrnn.cells import CELLS
from charrnn.errors import TextError, UsageError
from charrnn.layouts import Pairing
from charrnn.network import ModelConfig
from charrnn.optimisers import OPTIMISERS
from charrnn.presets import Budget, Plan, Settings, pick
from charrnn.training_config import TrainingConfig

POSITIONS = 2048
"""Characters that a batch should have, as those of the language model's windows have."""

FEWEST_EXAMPLES, MOST_EXAMPLES = 16, 128
MOST_POSITIONS = 2**15
"""T × B of the longest batch: what its buffers have room for."""

FEWEST_LABELLED = 64
"""Examples in a batch where each has but one guess: fewer are too noisy to climb out of chance."""

SPARSE: Settings = {"hidden": 128, "optimiser": "adam", "lr": 2e-3}
"""For a label at the end of a text. Adagrad, the best where every position is guessed, never finds
evidence that lies a hundred characters before the label; Adam does."""

DENSE: Settings = {"hidden": 256}
"""For the other layouts, where most positions are guessed as in a language model."""

SIZES: dict[str, Settings] = {
    "default": {},
    "small": {"hidden": 128},
    "large": {"hidden": 512},
}


def chrono_bias(length: float) -> float:
    """b_f = ln(T − 1): a forget gate that keeps 1/e of a state over T characters.

    Tallec & Ollivier 2018, arXiv 1804.11188; at least 1, as for a language model.
    """
    return max(1.0, round(math.log(max(length - 1, 1)), 2))


def plan_pairs(
    preset: str, given: Mapping[str, object], pairing: Pairing, train: Examples, budget: Budget
) -> Plan:
    """Complete what was `given`; `UsageError` for what makes no sense with pairs."""
    if preset not in SIZES:
        raise UsageError(f"--preset {preset} is for texts; with pairs there are {', '.join(SIZES)}")
    longest = int(train.lengths.max())
    if longest > MOST_POSITIONS:
        raise TextError(
            f"the longest example has {longest:,} characters, and nothing is cut inside one; "
            f"try examples of at most {MOST_POSITIONS:,}"
        )
    mean = float(train.lengths.mean())
    sparse = pairing.layout == "many-to-one"
    fewest = FEWEST_LABELLED if sparse else FEWEST_EXAMPLES
    B = max(fewest, min(MOST_EXAMPLES, round(POSITIONS / mean)))
    B = max(1, min(B, MOST_POSITIONS // longest, len(train)))
    settings = (SPARSE if sparse else DENSE) | SIZES[preset]
    settings |= {"batch": B, "seq_length": longest, "forget_bias": chrono_bias(longest)}
    if "optimiser" in given or "cell" in given:
        settings.pop("lr", None)  # the preset's rate is that of its own optimiser
    settings |= given
    notes = []
    if settings["batch"] > len(train):
        notes.append(
            f"{len(train)} examples do not fill a batch of {settings['batch']}: all in one"
        )
        settings["batch"] = len(train)
    name = settings.get("optimiser", TrainingConfig.optimiser)
    cell = settings.get("cell", ModelConfig.cell)
    if name in OPTIMISERS and cell in CELLS:
        settings.setdefault("lr", OPTIMISERS[name].learning_rate * CELLS[cell].rate_factor)
    shape = {"inputs": pairing.inputs, "outputs": pairing.outputs}
    model = pick(ModelConfig, settings | shape)
    training = pick(TrainingConfig, settings | {"steps": 0, "reset_rate": 1.0})
    return Plan(model, training, budget, tuple(notes))
