"""First screen of a run: what is known of the data and the model, and what was chosen."""

import math
import os
from pathlib import Path

from rich.table import Table

from charrnn.cli.output.console import duration, facts_table
from charrnn.cli.train.network_plans import NetworkPlan
from charrnn.cli.train.planning import ScoringLimits, megabytes, total_seconds
from charrnn.cli.train.reports import reports_of
from charrnn.nn.model_config import ModelConfig
from charrnn.system.mpi import Ranks
from charrnn.training.prepared_data import PreparedData
from charrnn.training.speed import Speed
from charrnn.training.trainer import Trainer


def what_is_given(prepared: PreparedData) -> Table:
    """Say what is known before anything is measured."""
    return facts_table(reports_of(prepared).facts())


def model_line(model: ModelConfig) -> str:
    """Return the shape of a network and its number of parameters."""
    parameters = sum(math.prod(shape) for shape in model.shapes().values())
    return f"{model.layers_line}, {parameters:,} parameters"


def what_was_chosen(
    trainer: Trainer,
    prepared: PreparedData,
    speed: Speed,
    folder: Path,
    limits: ScoringLimits,
    options: str,
    ranks: Ranks | None = None,
    networks: NetworkPlan | None = None,
) -> Table:
    """Say what is about to happen, and with which settings."""
    config = trainer.config
    epochs = config.steps / trainer.steps_per_epoch
    processes = f"{config.workers} process" + ("es" if config.workers > 1 else "")
    if ranks is not None:
        processes = f"{ranks.size} ranks × {processes}"
    rate = trainer.characters_per_step / speed.step
    each = reports_of(prepared).step_size(config)
    plan = f"{config.steps:,} steps of {each}, {epochs:.2f} epochs"
    seconds = total_seconds(speed, trainer, prepared, limits)
    if networks is not None and networks.shares_time:
        plan = f"{networks.count} networks; the first: {plan}"
        seconds *= networks.count
    return facts_table(
        {
            "model": model_line(trainer.model_config),
            "memory": f"about {megabytes(trainer, prepared, limits):,.0f} MB",
            "speed": f"{rate / 1000:.1f}k characters/s in {processes} of {os.cpu_count()} cores",
            "plan": plan,
            "time": f"about {duration(seconds)}",
            "folder": str(folder),
            "chosen": options,
        }
    )
