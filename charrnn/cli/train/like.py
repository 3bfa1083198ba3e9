"""`charrnn train --like`: a new run with the settings of another, except for what is given."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.lookup import resumable_in
from charrnn.checkpointing.records import Checkpoint
from charrnn.checkpointing.run_records import read_facts
from charrnn.cli.output.console import say
from charrnn.cli.output.safe_text import label
from charrnn.cli.runs import load_pairs, load_text
from charrnn.cli.train.distillation import teachers_in
from charrnn.cli.train.network_plans import (
    BETWEEN_NETWORKS,
    MAX_NETWORKS,
    NGRAMS,
    parse_network_plans,
)
from charrnn.cli.train.option_traits import FROM_CHECKPOINT, TEXT_ONLY
from charrnn.cli.train.repeat_options import settings_of
from charrnn.cli.train.request import TrainRequest
from charrnn.cli.train.resume import workers_here
from charrnn.data.decoding import TextOptions
from charrnn.data.label_ngrams import MAX_ORDER
from charrnn.errors import CheckpointError, UsageError
from charrnn.nn.cells import CELLS
from charrnn.training.presets import Budget

WITHOUT_OPTION = {"inputs", "outputs", "readout_init", "loss", "steps", "workers", "earlier_plans"}
"""Settings that are not copied one by one: the text, the preset or the budget decides them."""

WEIGHTS = {"cell", "layers", "hidden"}
BUDGET = {"minutes", "epochs", "steps"}


def request_like(
    path: str, request: TrainRequest, given: Mapping[str, str], *, quiet: bool
) -> TrainRequest:
    """Return a request for a run like the one in a folder.

    Args:
        path: the folder of the run, or a checkpoint of it with the state of training.
        request: the run as the options ask for it.
        given: the options on the command line, by the name of their parameter.
        quiet: whether not to name the files of run.json before they are read.

    Raises `CheckpointError` for a checkpoint without the state of training, and `UsageError` for a
    run that began from weights which are not given.
    """
    source = resumable_in(Path(path))
    checkpoint = load_checkpoint(source)
    state = checkpoint.training
    if state is None:
        raise CheckpointError(
            f"{label(str(source))} holds no settings of training", "--like RUN with its last.npz"
        )
    if "preset" in given:
        raise UsageError("--like takes the settings of a run, and --preset others", "one of them")
    folder, facts = source.parent, read_facts(source.parent)
    if request.init_from is None and began_from_weights(facts):
        raise UsageError(
            f"{label(str(folder))} began from the weights of a checkpoint",
            "--init-from CKPT with the same one",
        )
    config = state.config
    settings = copied_settings(checkpoint, request, given)
    if not BUDGET & given.keys():
        if not settings_changed(given):
            settings["earlier_plans"] = config.earlier_plans
        request = replace(request, budget=Budget(None, None, config.steps))
        if checkpoint.symbols.of_pairs and request.init_from is None:
            request = with_networks(facts, request, exact=not settings_changed(given))
    else:
        settings.pop("eval_every", None)
    if checkpoint.corpus.generated is not None and not request.teachers:
        teachers, count = teachers_in(facts, folder)
        generated = count if request.generated is None else request.generated
        request = replace(request, teachers=teachers, generated=generated)
    workers = workers_here(config, None) if request.workers is None else request.workers
    request = replace(
        request,
        given=settings | {name: request.given[name] for name in request.given if name in given},
        preset="min-char-rnn" if config.loss == "sum" else "default",
        workers=workers,
    )
    return with_material(checkpoint, folder, request, given, load_text.nothing if quiet else say)


def copied_settings(
    checkpoint: Checkpoint, request: TrainRequest, given: Mapping[str, str]
) -> dict[str, Any]:
    """Return the settings of a run that a new one copies.

    Left out are those that another optimiser, cell or clipping, or the weights to begin from,
    decide instead.
    """
    state = checkpoint.training
    stored = {} if state is None else settings_of(checkpoint.config, state.config)
    dropped = set(WITHOUT_OPTION)
    if request.layout is not None or checkpoint.symbols.of_pairs:
        dropped |= set(TEXT_ONLY)
    if request.init_from is not None:
        dropped |= WEIGHTS | FROM_CHECKPOINT.keys()
    if {"clip_norm", "clip_value"} & given.keys():
        dropped |= {"clip_norm", "clip_value"}
    if "optimiser" in given:
        dropped.add("lr")
    if "val_fraction" in given and request.val_fraction == 0:
        dropped.add("patience")
    cell = CELLS.get(request.given.get("cell", ""))
    if cell is not None and cell.forget_bias_gate is None:
        dropped.add("forget_bias")
    return {
        name: value for name, value in stored.items() if value is not None and name not in dropped
    }


def with_networks(facts: Mapping[str, Any], request: TrainRequest, *, exact: bool) -> TrainRequest:
    """Return a request for as many networks and as long n-grams as run.json tells.

    Args:
        facts: what run.json tells; what is no such fact is not copied.
        request: the run as the options ask for it.
        exact: whether the plans of the networks are copied too.
    """
    networks, order = facts.get("networks"), facts.get(NGRAMS)
    if request.ngrams is None and type(order) is int and 0 <= order <= MAX_ORDER:
        request = replace(request, ngrams=order)
    if not isinstance(networks, list) or not 1 < len(networks) <= MAX_NETWORKS:
        return request
    if request.networks not in (None, len(networks)):
        return request
    request = replace(request, networks=len(networks))
    plans = [one.get("plan") for one in networks[1:] if isinstance(one, dict)]
    if not exact or not all(isinstance(plan, str) for plan in plans):
        return request
    given = parse_network_plans(BETWEEN_NETWORKS.join(map(str, plans)))
    return replace(request, network_plans=given if len(given) == len(networks) - 1 else ())


def settings_changed(given: Mapping[str, str]) -> bool:
    """Return whether an option on the command line changes the numbers of a run."""
    return bool(given.keys() - UNCHANGED)


UNCHANGED = {
    *("like", "out", "name", "sample_every", "save_every", "keep", "watch_gradients", "json"),
    "quiet",
}
"""Options with which the run is repeated exactly."""


def with_material(
    checkpoint: Checkpoint,
    folder: Path,
    request: TrainRequest,
    given: Mapping[str, str],
    show: load_text.Say,
) -> TrainRequest:
    """Return a request that reads the training data of a run, unless others are given."""
    record = checkpoint.corpus
    text = TextOptions(
        request.text.encoding if "encoding" in given else record.encoding,
        request.text.as_bytes if "as_bytes" in given else record.as_bytes,
        request.text.normalise if "normalise" in given else record.normalise,
    )
    pairs = checkpoint.symbols.of_pairs
    request = replace(
        request,
        layout=checkpoint.pairing.layout if pairs and request.layout is None else request.layout,
        text=text,
        min_count=request.min_count if "min_count" in given else record.min_count,
        val_fraction=request.val_fraction if "val_fraction" in given else record.val_fraction,
    )
    if request.paths or request.built_in is not None:
        return request
    decoded = not {"encoding", "as_bytes", "normalise"} & given.keys()
    request = replace(request, sha256=record.sha256 if decoded else None)
    if record.built_in is not None:
        return replace(request, built_in=record.built_in)
    most = load_text.most_text_bytes(record)
    if pairs:
        most = load_pairs.MAX_BYTES_PER_CHARACTER * record.characters + load_pairs.SPARE_BYTES
    return replace(request, paths=load_text.announced(folder, most, show))


def began_from_weights(facts: Mapping[str, Any]) -> bool:
    """Return whether the command in run.json has `--init-from`."""
    command = facts.get("command")
    words = command if isinstance(command, list) else []
    return any(isinstance(word, str) and word.split("=")[0] == "--init-from" for word in words)
