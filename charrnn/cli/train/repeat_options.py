"""Options that repeat a run exactly, shown as the line "chosen"."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeAlias

from charrnn.cli.options import DEFAULT_VAL_FRACTION
from charrnn.cli.output.safe_text import one_line
from charrnn.cli.train.option_traits import ALWAYS_SHOWN, NEVER_SHOWN, TEXT_ONLY
from charrnn.cli.train.planning import evaluations_at_most
from charrnn.limits import option_name
from charrnn.nn.model_config import ModelConfig
from charrnn.training.prepared_data import PreparedData
from charrnn.training.presets import Budget, Plan, with_steps
from charrnn.training.text_dataset import DistilledText
from charrnn.training.trainer import Trainer
from charrnn.training_config import TrainingConfig

Planner: TypeAlias = Callable[[str, Mapping[str, Any], Budget], Plan]
"""From a preset, the settings that were given, and a budget to a plan."""


def repeating_options(
    trainer: Trainer,
    prepared: PreparedData,
    planner: Planner,
    init_from: str | None,
    teachers: Sequence[str] = (),
) -> str:
    """Return the options that repeat a run on the same corpus.

    The run is planned with the options collected so far, until the plan equals it: what a preset
    would choose otherwise is added. Settings of the preset `min-char-rnn` that have no option of
    their own make it name the preset.
    """
    config, record = trainer.config, prepared.record
    hidden = NEVER_SHOWN if prepared.layout is None else (*NEVER_SHOWN, *TEXT_ONLY)
    actual = {
        name: value
        for name, value in settings_of(trainer.model_config, config).items()
        if name not in hidden
    }
    preset = "min-char-rnn" if config.loss == "sum" else "default"
    fixed = {"seed": config.seed, "backend": config.backend}
    chosen = {name: actual[name] for name in ALWAYS_SHOWN if name in actual}
    if init_from is not None:  # the checkpoint decides these, and refuses others
        for name in ("cell", "layers", "hidden"):
            chosen.pop(name)
    while True:
        plan = planner(preset, chosen | fixed, Budget(steps=config.steps))
        training = with_steps(plan.training, config.steps, evaluations_at_most(prepared))
        planned = settings_of(plan.model, training)
        missing = {
            name: value
            for name, value in actual.items()
            if value is not None and planned[name] != value and name not in chosen
        }
        if not missing:
            break
        chosen |= missing
    options: dict[str, object] = {} if preset == "default" else {"preset": preset}
    if prepared.layout is not None:
        options["layout"] = prepared.layout
    options |= chosen
    options |= {"steps": config.steps, "workers": config.workers, "backend": config.backend}
    options["seed"] = config.seed
    for name, usual in (("encoding", "utf-8"), ("normalise", None), ("min_count", 1)):
        if (value := getattr(record, name)) != usual:
            options[name] = value
    if record.val_fraction != DEFAULT_VAL_FRACTION:
        options["val_fraction"] = record.val_fraction
    if init_from is not None:
        options["init_from"] = init_from
    words = [word for name, value in options.items() for word in typed(name, value)]
    words += [word for teacher in teachers for word in typed("teacher", teacher)]
    if isinstance(prepared.dataset, DistilledText):
        words += typed("generated", prepared.dataset.num_generated)
    return one_line(shlex.join(words + ["--bytes"] * record.as_bytes))


def settings_of(model: ModelConfig, training: TrainingConfig) -> dict[str, Any]:
    """Return the fields of both configurations by name."""
    found = {
        item.name: getattr(config, item.name)
        for config in (model, training)
        for item in fields(config)
    }
    return found | {"bidirectional": model.bidirectional is not None}  # the layout says how


def typed(name: str, value: object) -> list[str]:
    """Return an option as it is typed."""
    option = option_name(name)
    if isinstance(value, bool):
        return [option if value else f"--no-{option.removeprefix('--')}"]
    return [option, plain(value)]


def plain(value: object) -> str:
    """Return a value as text; floats in their shortest exact form."""
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value)
