"""`charrnn train`: from a text to a run's folder."""

from dataclasses import fields
from typing import Annotated, Any

import typer

from charrnn.cli.options import DEFAULT_VAL_FRACTION, option, refuse_new_settings
from charrnn.cli.train.checks import refuse_unread_options
from charrnn.cli.train.loop import RunOptions
from charrnn.cli.train.planning import EVALUATION_SHARE, EVALUATIONS, PAIR_EVALUATIONS
from charrnn.cli.train.resume import resume_run
from charrnn.cli.train.setup import TrainRequest, start_run
from charrnn.data.builtin_pairs import DEMONSTRATIONS, natural_layout
from charrnn.data.builtin_texts import BUILT_IN
from charrnn.data.decoding import TextOptions
from charrnn.data.layouts import LAYOUTS
from charrnn.errors import UsageError
from charrnn.limits import THREADS, option_name
from charrnn.nn.cells import CELLS
from charrnn.nn.initialisers import INITIALISERS
from charrnn.nn.network import ModelConfig
from charrnn.optim.optimisers import OPTIMISERS
from charrnn.optim.schedules import SCHEDULES
from charrnn.training.backends import default_backend
from charrnn.training.pair_presets import PATIENCE
from charrnn.training.presets import (
    LARGEST,
    MOST_AT_FULL_RATE,
    PRESETS,
    SMALLEST,
    WEIGHT_DECAY,
    Budget,
)
from charrnn.training_config import BACKENDS, TrainingConfig

CORPUS, MODEL, OPTIMISATION, RUN = "Corpus", "Model", "Optimisation", "Run"
DEFAULT_MINUTES = 3.0
FIELDS = (*fields(ModelConfig), *fields(TrainingConfig))
SHARED = {"min": THREADS.low, "max": THREADS.high}
SETTINGS = {field.name for field in FIELDS} - {"steps", "workers"}
"""Names of the options that set a field; `planning` fixes the steps and the workers."""


def names(registry: dict[str, Any]) -> str:
    """List the names of a registry for a help text."""
    return ", ".join(registry)


def train(
    context: typer.Context,
    corpus: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILES]...",
            help="Text files (.gz too), folders, or - for standard input; joined by a newline. "
            "With --layout, files of pairs. Default: --builtin python-docs.",
            show_default=False,
        ),
    ] = None,
    built_in: Annotated[
        str | None,
        option(
            CORPUS,
            f"A built-in corpus: {names(BUILT_IN)}, france:GAP; of pairs: {names(DEMONSTRATIONS)}.",
            option_name("built_in"),
        ),
    ] = None,
    layout: Annotated[
        str | None,
        option(
            CORPUS,
            "Learn pairs, one a line, instead of a text: input, tab, output (.csv and .jsonl too); "
            + "; ".join(f"{name}: {one.meaning}" for name, one in LAYOUTS.items())
            + ".",
        ),
    ] = None,
    encoding: Annotated[
        str, option(CORPUS, "Encoding of the files, applied strictly: no character is guessed.")
    ] = "utf-8",
    as_bytes: Annotated[
        bool, option(CORPUS, "Learn bytes instead of characters: any file will do.", "--bytes")
    ] = False,
    normalise: Annotated[
        str | None,
        option(
            CORPUS,
            "Unicode normal form, such as nfc, so that é is always one character.",
            option_name("normalise"),
        ),
    ] = None,
    min_count: Annotated[
        int, option(CORPUS, "Leave out characters that occur less often than this.")
    ] = 1,
    val_fraction: Annotated[
        float,
        option(
            CORPUS, "Share held out to validate on: the end of a text; of pairs, drawn by seed."
        ),
    ] = DEFAULT_VAL_FRACTION,
    preset: Annotated[
        str,
        option(
            MODEL,
            f"What to choose where nothing is said: {names(PRESETS)}. The default fits the "
            "network to the time, and dropout to units, text and passes over it.",
        ),
    ] = "default",
    cell: Annotated[
        str | None, option(MODEL, f"Recurrent cell: {names(CELLS)}. Default: lstm.")
    ] = None,
    layers: Annotated[int | None, option(MODEL, "Layers. Default: 1.")] = None,
    hidden: Annotated[
        int | None,
        option(MODEL, f"Units of each layer. Default: {SMALLEST} to {LARGEST}, by the time given."),
    ] = None,
    dropout: Annotated[
        float | None,
        option(MODEL, "Share of layer outputs silenced in training. Default: by units and epochs."),
    ] = None,
    recurrent_dropout: Annotated[
        float | None,
        option(MODEL, "Share of recurrent weights silenced in training. Default: by epochs."),
    ] = None,
    init: Annotated[
        str | None,
        option(
            MODEL,
            f"Recurrent weights: {names(INITIALISERS)}, with a scale as in normal:0.01. "
            "Default: orthogonal, which keeps gradients at length.",
            option_name("init"),
        ),
    ] = None,
    gain: Annotated[
        float | None,
        option(
            MODEL,
            "Factor on the recurrent weights at the start. Default: 1.",
            option_name("gain"),
        ),
    ] = None,
    input_init: Annotated[
        str | None,
        option(MODEL, "Input weights, likewise. Default: normal:1, for an rnn uniform (±1/√H)."),
    ] = None,
    input_gain: Annotated[
        float | None, option(MODEL, "Factor on the input weights at the start. Default: 1.")
    ] = None,
    forget_bias: Annotated[
        float | None, option(MODEL, "The LSTM's forget bias. Default: 1, to begin by remembering.")
    ] = None,
    optimiser: Annotated[
        str | None,
        option(
            OPTIMISATION,
            f"{names(OPTIMISERS)}. Default: adagrad, the best we measured.",
            option_name("optimiser"),
        ),
    ] = None,
    lr: Annotated[
        float | None,
        option(
            OPTIMISATION,
            "Learning rate. Default: "
            + ", ".join(f"{kind.default_lr:g} {name}" for name, kind in OPTIMISERS.items())
            + "; times "
            + ", ".join(f"{cell.lr_scale:g} {name}" for name, cell in CELLS.items())
            + f"; less above {MOST_AT_FULL_RATE} units, or with recurrent dropout.",
        ),
    ] = None,
    schedule: Annotated[
        str | None,
        option(OPTIMISATION, f"{names(SCHEDULES)}. Default: cosine, down to 2 % of the rate."),
    ] = None,
    warmup_steps: Annotated[
        int | None,
        option(OPTIMISATION, "Steps in which the rate rises. Default: 100, at most a third."),
    ] = None,
    weight_decay: Annotated[
        float | None,
        option(
            OPTIMISATION,
            f"Pull of weights towards zero. Default: texts with adagrad {WEIGHT_DECAY:g} or more.",
        ),
    ] = None,
    ema_decay: Annotated[
        float | None,
        option(
            OPTIMISATION,
            "Decay of an exponential moving average of the weights, such as 0.998, which is then "
            "the model. Default: 0: no average.",
        ),
    ] = None,
    clip_norm: Annotated[
        float | None, option(OPTIMISATION, "Largest norm of the whole gradient. Default: 0.25.")
    ] = None,
    clip_value: Annotated[
        float | None, option(OPTIMISATION, "Largest element of the gradient instead.")
    ] = None,
    seq_length: Annotated[
        int | None,
        option(OPTIMISATION, "Characters that a gradient travels back (truncation). Default: 64."),
    ] = None,
    batch_size: Annotated[
        int | None, option(OPTIMISATION, "Lanes of the text read side by side. Default: 32.")
    ] = None,
    state_reset_prob: Annotated[
        float | None,
        option(
            OPTIMISATION,
            "How likely a lane begins a window from the zero state, the one that sampling starts "
            "from. Default: 0.05.",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        option(RUN, f"Wall time of the whole command, about. Default: {DEFAULT_MINUTES:g}."),
    ] = None,
    epochs: Annotated[float | None, option(RUN, "Epochs to train for, instead.")] = None,
    steps: Annotated[int | None, option(RUN, "Steps to train for, instead.")] = None,
    patience: Annotated[
        int | None,
        option(
            RUN,
            "Stop after so many validations without a new best; 0: never. Default: 0, for pairs "
            f"{PATIENCE}; and pairs end once validation finds no fault.",
        ),
    ] = None,
    seed: Annotated[int, option(RUN, "Seed of all that is random.")] = 0,
    workers: Annotated[
        int | None,
        option(RUN, "Processes to share a batch. Default: measured, up to one a core.", **SHARED),
    ] = None,
    backend: Annotated[
        str | None,
        option(
            RUN,
            f"Compute backend: {' or '.join(BACKENDS)}. Default: numba, which is faster, if it is "
            "installed (pip install numba); they agree to rounding.",
        ),
    ] = None,
    out: Annotated[
        str | None, option(RUN, "The run's folder. Default: checkpoints/NAME.", show_default=False)
    ] = None,
    name: Annotated[
        str | None, option(RUN, "The run's name. Default: the corpus's.", show_default=False)
    ] = None,
    resume: Annotated[
        str | None, option(RUN, "Go on with an interrupted run: its folder.", metavar="RUN")
    ] = None,
    init_from: Annotated[
        str | None,
        option(RUN, "Begin from the weights and vocabulary of a checkpoint.", metavar="CKPT"),
    ] = None,
    eval_every: Annotated[
        int | None,
        option(
            RUN,
            f"Steps between validations. Default: {EVALUATIONS} a run, pairs {PAIR_EVALUATIONS}; "
            f"by --minutes as many, at least 2, as take {EVALUATION_SHARE:.0%} of the time.",
            min=1,
        ),
    ] = None,
    sample_every: Annotated[
        int | None,
        option(RUN, "Steps between samples; 0: none. Default: at each validation.", min=0),
    ] = None,
    save_every: Annotated[
        int | None, option(RUN, "Steps between saves. Default: every half minute.", min=1)
    ] = None,
    keep: Annotated[
        int, option(RUN, "Also keep the newest N saves, as step-NNNNNN.npz.", metavar="N", min=0)
    ] = 0,
    watch_gradients: Annotated[
        bool,
        option(
            RUN,
            "Show the gradient while training: norms, clipping, updates, and how far back it "
            "reaches. Changes no weight, costs at most 2 %.",
            "--watch-gradients",
        ),
    ] = False,
    json: Annotated[
        bool, option(RUN, "Print the result as one JSON object on stdout.", "--json")
    ] = False,
    quiet: Annotated[bool, option(RUN, "Only warnings and errors.", "--quiet", "-q")] = False,
) -> None:
    """Train a character-level network: charrnn train corpus.txt.

    Writes best.npz, last.npz and metrics.jsonl to checkpoints/NAME; never overwrites another run.
    Ctrl-C saves, and --resume goes on to the same end.
    """
    said = {name: value for name, value in context.params.items() if value is not None}
    given = {name: value for name, value in said.items() if name in SETTINGS}
    given.setdefault("backend", default_backend())
    budgeted = any(value is not None for value in (minutes, epochs, steps))
    if out is not None and name is not None:
        raise UsageError("--out and --name contradict each other", "one of them")
    run_options = RunOptions(sample_every, save_every, keep, watch_gradients, json, quiet)
    if resume is not None:
        refuse_new_settings(context)
        resume_run(resume, corpus or [], run_options)
        return
    if layout is None and built_in is not None:
        layout = natural_layout(built_in)
    refuse_unread_options(context, layout=layout)
    request = TrainRequest(
        paths=corpus or [],
        built_in=built_in,
        layout=layout,
        text=TextOptions(encoding, as_bytes, normalise),
        min_count=min_count,
        val_fraction=val_fraction,
        preset=preset,
        given=given,
        budget=Budget(minutes if budgeted else DEFAULT_MINUTES, epochs, steps),
        workers=workers,
        out=out,
        name=name,
        init_from=init_from,
    )
    start_run(request, run_options)
