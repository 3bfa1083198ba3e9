"""`charrnn train`: options and help of the command."""

from pathlib import Path
from typing import Annotated, Any

import typer

from charrnn.cli.completion import complete_from, complete_run
from charrnn.cli.options import DEFAULT_VAL_FRACTION, on_the_command_line, option
from charrnn.cli.train.checks import refuse_new_settings, refuse_unread_options
from charrnn.cli.train.like import request_like
from charrnn.cli.train.network_plans import (
    DEFAULT_NETWORKS,
    DEFAULT_NGRAMS,
    MAX_NETWORKS,
)
from charrnn.cli.train.planning import EVALUATION_SHARE, VALIDATION_SHARE
from charrnn.cli.train.prepare_run import MAX_VALIDATION_PAIRS
from charrnn.cli.train.request import DEFAULT_MINUTES, request_of
from charrnn.cli.train.resume import resume_run
from charrnn.cli.train.run_options import RunOptions
from charrnn.cli.train.start import continue_pending, start_run
from charrnn.cli.train.teacher_runs import MAX_TEACHERS, pending_in
from charrnn.data.builtin_pairs import DEMONSTRATIONS
from charrnn.data.builtin_texts import BUILT_IN
from charrnn.data.decoding import FORMS
from charrnn.data.label_ngrams import MAX_ORDER
from charrnn.data.layouts import LAYOUTS
from charrnn.errors import UsageError
from charrnn.limits import THREADS, option_name
from charrnn.nn.cells import CELLS
from charrnn.nn.initialisers import INITIALISERS
from charrnn.nn.model_config import ModelConfig
from charrnn.optim.optimisers import OPTIMISERS
from charrnn.optim.schedules import SCHEDULES
from charrnn.training.dataset import MAX_VALIDATION_CHARACTERS
from charrnn.training.distillation import (
    GENERATED_PER_CHARACTER,
    GENERATION_SHARE,
    MIN_TYPICAL_MINUTES,
    TEACHER_SHARE,
    TEACHERS,
    rounded,
)
from charrnn.training.pair_presets import (
    LABEL_SMOOTHING_RULE,
    MANY_LABELLED,
    MAX_ATTENDED,
    NETWORKS_RULE,
    PATIENCE,
    TRANSDUCTION,
)
from charrnn.training.prepared_data import PreparedPairs, PreparedText
from charrnn.training.presets import (
    MAX_HIDDEN_AT_FULL_LR,
    MAX_MUON_HIDDEN,
    MAX_MUON_LR_SCALE,
    MAX_PRESET_HIDDEN,
    MIN_PRESET_HIDDEN,
    PRESETS,
    TEXT_CELL,
    WEIGHT_DECAY,
)
from charrnn.training.trainer import MAX_NONFINITE
from charrnn.training_config import BACKENDS, NONFINITE_POLICIES

CORPUS, MODEL, OPTIMISATION, RUN = "Corpus", "Model", "Optimisation", "Run"
SHARED = {"min": THREADS.low, "max": THREADS.high}


def names(registry: dict[str, Any]) -> str:
    """List the names of a registry for a help text."""
    return ", ".join(registry)


def train_network(
    context: typer.Context,
    corpus: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILES",
            help="Text files (also .gz), folders, or - for standard input, joined by newlines. "
            "With --layout: files of pairs. Default: --builtin python-docs.",
            show_default=False,
        ),
    ] = None,
    built_in: Annotated[
        str | None,
        option(
            CORPUS,
            f"Built-in text: {names(BUILT_IN)}, france:GAP; built-in pairs: "
            f"{names(DEMONSTRATIONS)}.",
            option_name("built_in"),
            autocompletion=complete_from([*BUILT_IN, *DEMONSTRATIONS]),
        ),
    ] = None,
    layout: Annotated[
        str | None,
        option(
            CORPUS,
            "Train on pairs instead of a text, one per line: input, tab, output (also .csv and "
            ".jsonl); "
            + "; ".join(f"{name}: {one.meaning}" for name, one in LAYOUTS.items())
            + ".",
            autocompletion=complete_from(LAYOUTS),
        ),
    ] = None,
    encoding: Annotated[
        str, option(CORPUS, "Encoding of the files; a byte that does not fit it is an error.")
    ] = "utf-8",
    as_bytes: Annotated[
        bool,
        option(CORPUS, "Train on bytes instead of characters; works with any file.", "--bytes"),
    ] = False,
    normalise: Annotated[
        str | None,
        option(
            CORPUS,
            "Unicode normal form to convert to, such as nfc, so that é is always one character.",
            option_name("normalise"),
            autocompletion=complete_from(FORMS),
        ),
    ] = None,
    min_count: Annotated[
        int, option(CORPUS, "Remove characters that occur fewer than this many times.")
    ] = 1,
    val_fraction: Annotated[
        float,
        option(
            CORPUS,
            "Fraction used for validation: the end of a text; pairs are drawn by --seed. Of pairs "
            f"{MAX_VALIDATION_PAIRS:,} at most unless it is given.",
        ),
    ] = DEFAULT_VAL_FRACTION,
    val_limit: Annotated[
        int | None,
        option(
            CORPUS,
            "Characters of the validation text that validations read, the first ones. Default: "
            f"{MAX_VALIDATION_CHARACTERS:,}; with --minutes as many as take "
            f"{VALIDATION_SHARE:.0%} of the time.",
            min=2,
        ),
    ] = None,
    preset: Annotated[
        str,
        option(
            MODEL,
            f"Source of settings not given: {names(PRESETS)}. The default chooses the size of the "
            "network by the time, and dropout by units, size of the text and epochs.",
            autocompletion=complete_from(PRESETS),
        ),
    ] = "default",
    cell: Annotated[
        str | None,
        option(
            MODEL,
            f"Recurrent cell: {names(CELLS)}. Default: {TEXT_CELL} for texts, "
            f"{ModelConfig.cell} for pairs.",
            autocompletion=complete_from(CELLS),
        ),
    ] = None,
    layers: Annotated[int | None, option(MODEL, "Number of layers. Default: 1.")] = None,
    hidden: Annotated[
        int | None,
        option(
            MODEL,
            f"Hidden units per layer. Default: {MIN_PRESET_HIDDEN} to {MAX_PRESET_HIDDEN}, "
            "by the time given.",
        ),
    ] = None,
    bidirectional: Annotated[
        bool | None,
        option(
            MODEL,
            "For pairs: in each layer a second cell, which reads the input from its end; "
            f"{names({n: one for n, one in LAYOUTS.items() if one.backward_use})}. Default: for "
            f"synced and many-to-many, and for many-to-one from {MANY_LABELLED:,} pairs.",
            "--bidirectional/--no-bidirectional",
        ),
    ] = None,
    attention: Annotated[
        int | None,
        option(
            MODEL,
            "For many-to-many read in both directions: attention heads, with which each symbol of "
            "an answer attends to all inputs; 0: none. Default: "
            f"{TRANSDUCTION['attention']} for many-to-many of up to {MAX_ATTENDED:,} characters, "
            "else 0.",
        ),
    ] = None,
    dropout: Annotated[
        float | None,
        option(MODEL, "Dropout rate on layer outputs. Default: by units and epochs."),
    ] = None,
    recurrent_dropout: Annotated[
        float | None,
        option(MODEL, "Dropout rate on recurrent weights. Default: by epochs."),
    ] = None,
    init: Annotated[
        str | None,
        option(
            MODEL,
            f"Initialiser of the recurrent weights: {names(INITIALISERS)}; with a scale as in "
            "normal:0.01. Default: orthogonal, which keeps the norm of gradients.",
            option_name("init"),
            autocompletion=complete_from(INITIALISERS),
        ),
    ] = None,
    gain: Annotated[
        float | None,
        option(
            MODEL,
            "Factor on the initial recurrent weights. Default: 1.",
            option_name("gain"),
        ),
    ] = None,
    input_init: Annotated[
        str | None,
        option(
            MODEL,
            "Initialiser of the input weights. Default: normal:1, for an rnn uniform (±1/√H).",
            autocompletion=complete_from(INITIALISERS),
        ),
    ] = None,
    input_gain: Annotated[
        float | None, option(MODEL, "Factor on the initial input weights. Default: 1.")
    ] = None,
    forget_bias: Annotated[
        float | None,
        option(
            MODEL, "Initial forget-gate bias of the lstm. Default: 1, so that it first remembers."
        ),
    ] = None,
    optimiser: Annotated[
        str | None,
        option(
            OPTIMISATION,
            f"Optimiser: {names(OPTIMISERS)}. Default: muon for an lstm or gru on a text, with up "
            f"to {MAX_MUON_HIDDEN} units, on many-to-one and on many-to-many; else adagrad.",
            option_name("optimiser"),
            autocompletion=complete_from(OPTIMISERS),
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
            + f"; lower above {MAX_HIDDEN_AT_FULL_LR} units, with recurrent dropout, or with "
            "--bidirectional; higher, by a factor of up to "
            f"{MAX_MUON_LR_SCALE:g}, for muon and one lstm layer of fewer units on a text.",
        ),
    ] = None,
    schedule: Annotated[
        str | None,
        option(
            OPTIMISATION,
            f"Learning-rate schedule: {names(SCHEDULES)}. Default: cosine, down to 2 % of --lr.",
            autocompletion=complete_from(SCHEDULES),
        ),
    ] = None,
    warmup_steps: Annotated[
        int | None,
        option(
            OPTIMISATION,
            "Steps of linear learning-rate warm-up. Default: 100, at most a third of all.",
        ),
    ] = None,
    weight_decay: Annotated[
        float | None,
        option(
            OPTIMISATION,
            "Decoupled weight decay. Default: texts with adagrad or muon "
            f"{WEIGHT_DECAY:g} or more, with teachers a third of it.",
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
    balance: Annotated[
        float | None,
        option(
            OPTIMISATION,
            "For many-to-one: weigh labels in the loss by their frequency to the power of minus "
            "this, such as 0.5; 1: all labels count alike. Rare labels are then found more often, "
            "and probabilities are no longer those of the training pairs. Default: 0: off.",
        ),
    ] = None,
    label_smoothing: Annotated[
        float | None,
        option(
            OPTIMISATION,
            "Share of each target, such as 0.1, that the loss of training gives to all symbols "
            f"alike. Default: {LABEL_SMOOTHING_RULE}.",
        ),
    ] = None,
    clip_norm: Annotated[
        float | None,
        option(OPTIMISATION, "Clip the norm of the whole gradient to this. Default: 0.25."),
    ] = None,
    clip_value: Annotated[
        float | None,
        option(OPTIMISATION, "Clip each gradient element to ± this (instead of --clip-norm)."),
    ] = None,
    seq_length: Annotated[
        int | None,
        option(
            OPTIMISATION,
            "Sequence length of truncated backpropagation, in characters. Default: 64.",
        ),
    ] = None,
    batch_size: Annotated[
        int | None, option(OPTIMISATION, "Batch size: sequences trained in parallel. Default: 32.")
    ] = None,
    state_reset_prob: Annotated[
        float | None,
        option(
            OPTIMISATION,
            "Probability of resetting a sequence's hidden state at the start of each batch; "
            "sampling starts from this zero state. Default: 0.05.",
        ),
    ] = None,
    on_nonfinite: Annotated[
        str | None,
        option(
            OPTIMISATION,
            "At a loss or gradient that is not finite: stop, skip (make no update), or rollback "
            "(restore the weights of 100 to 200 steps before and halve the learning rate); after "
            f"{MAX_NONFINITE} in a row a run stops. Default: stop.",
            autocompletion=complete_from(NONFINITE_POLICIES),
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        option(RUN, f"Approximate wall time of the whole command. Default: {DEFAULT_MINUTES:g}."),
    ] = None,
    epochs: Annotated[
        float | None, option(RUN, "Train for this many epochs (instead of --minutes).")
    ] = None,
    steps: Annotated[
        int | None, option(RUN, "Train for this many steps (instead of --minutes).")
    ] = None,
    earlier_plans: Annotated[
        str | None,
        option(
            RUN,
            "Earlier numbers of steps of a run that was replanned to keep --minutes, as it prints "
            "them: UNTIL:STEPS,… With --steps they repeat it exactly.",
        ),
    ] = None,
    teacher: Annotated[
        list[str] | None,
        option(
            RUN,
            "For a text: learn the probabilities of this trained model, or of several their mean "
            "(knowledge distillation), on the text and on one that they generate. May be given "
            "several times; with --resume where the same ones are now.",
            metavar="CKPT",
            autocompletion=complete_run,
        ),
    ] = None,
    generated: Annotated[
        int | None,
        option(
            RUN,
            "With --teacher: characters that the teachers generate, rounded up to a multiple of "
            f"{rounded(1)}. Default: {GENERATED_PER_CHARACTER} for each of the training text; "
            "with --minutes at most what takes "
            f"about {GENERATION_SHARE:.0%} of the time.",
            min=0,
        ),
    ] = None,
    train_teachers: Annotated[
        int | None,
        option(
            RUN,
            "For a text: train this many networks first and learn their probabilities, as with "
            "--teacher; 0: none. They are in the folder teachers of the run, have default settings "
            f"and seeds of their own, and take {TEACHER_SHARE:.0%} of --minutes. Default: "
            f"{TEACHERS}, if --minutes are so many that a single network overfits, at least "
            f"{MIN_TYPICAL_MINUTES:g} on two cores with AVX-512 and more on slower ones, and "
            "nothing of the network is given; else 0.",
            metavar="N",
            min=0,
            max=MAX_TEACHERS,
        ),
    ] = None,
    patience: Annotated[
        int | None,
        option(
            RUN,
            "Stop after this many validations without a new best; 0: never. Default: 0, for pairs "
            f"{PATIENCE}; pairs also stop when every validation answer is right.",
        ),
    ] = None,
    networks: Annotated[
        int | None,
        option(
            RUN,
            "For pairs: networks to train, each with a seed of its own, of which merged.npz is the "
            "mean. --minutes is divided among them; with many-to-one the first is trained until "
            "more does not help. Default: with --minutes and many-to-one up to "
            f"{DEFAULT_NETWORKS}, if there is time; {NETWORKS_RULE}; else 1.",
            min=1,
            max=MAX_NETWORKS,
        ),
    ] = None,
    network_plans: Annotated[
        str | None,
        option(
            RUN,
            "Plans of the networks after the first, as a run with --minutes prints them: "
            "UNTIL:STEPS,…,STEPS, a / between two. Default: that of the first one.",
        ),
    ] = None,
    ngrams: Annotated[
        int | None,
        option(
            RUN,
            "For many-to-one: count the n-grams of the training inputs by label, up to N "
            "characters, and mix them into merged.npz if that helps; 0: none. Default: with "
            f"--minutes {DEFAULT_NGRAMS}, else 0.",
            metavar="N",
            min=0,
            max=MAX_ORDER,
        ),
    ] = None,
    seed: Annotated[int, option(RUN, "Seed of all random numbers.")] = 0,
    workers: Annotated[
        int | None,
        option(
            RUN,
            "Worker processes that share each batch. Default: measured, up to one per core; with "
            "--resume as many as before, up to one per core.",
            **SHARED,
        ),
    ] = None,
    backend: Annotated[
        str | None,
        option(
            RUN,
            f"Compute backend: {' or '.join(BACKENDS)}. Default: numba, which is faster, if "
            "it is "
            "installed (pip install numba). Their results agree to rounding error.",
            autocompletion=complete_from(BACKENDS),
        ),
    ] = None,
    out: Annotated[
        str | None, option(RUN, "Folder of the run. Default: checkpoints/NAME.", show_default=False)
    ] = None,
    name: Annotated[
        str | None,
        option(RUN, "Name of the run. Default: the name of the corpus.", show_default=False),
    ] = None,
    resume: Annotated[
        str | None,
        option(
            RUN,
            "Continue the interrupted run in this folder.",
            metavar="RUN",
            autocompletion=complete_run,
        ),
    ] = None,
    like: Annotated[
        str | None,
        option(
            RUN,
            "Start a new run with the settings, number of steps and training data of a run, except "
            "for what is given. Another --optimizer brings its own learning rate.",
            metavar="RUN",
            autocompletion=complete_run,
        ),
    ] = None,
    init_from: Annotated[
        str | None,
        option(
            RUN,
            "Start a new run from the weights and vocabulary of a checkpoint.",
            metavar="CKPT",
            autocompletion=complete_run,
        ),
    ] = None,
    eval_every: Annotated[
        int | None,
        option(
            RUN,
            f"Steps between validations. Default: {PreparedText.planned_validations} validations "
            f"a run, for pairs {PreparedPairs.planned_validations}; with --minutes as many "
            f"before the last as take {EVALUATION_SHARE:.0%} of the time.",
            min=1,
        ),
    ] = None,
    sample_every: Annotated[
        int | None,
        option(RUN, "Steps between samples; 0: none. Default: at each validation.", min=0),
    ] = None,
    save_every: Annotated[
        int | None,
        option(RUN, "Steps between saved checkpoints. Default: every half minute.", min=1),
    ] = None,
    keep: Annotated[
        int,
        option(RUN, "Also keep the newest N checkpoints, as step-NNNNNN.npz.", metavar="N", min=0),
    ] = 0,
    watch_gradients: Annotated[
        bool,
        option(
            RUN,
            "Show the gradient while training: norms, clipping, updates, and how far back it "
            "reaches. Does not change the weights; costs at most 2 % of the time.",
            "--watch-gradients",
        ),
    ] = False,
    json: Annotated[
        bool, option(RUN, "Print the result as one JSON object on stdout.", "--json")
    ] = False,
    quiet: Annotated[bool, option(RUN, "Print only warnings and errors.", "--quiet", "-q")] = False,
) -> None:
    """Train a character-level network: charrnn train corpus.txt.

    Writes best.npz, last.npz and metrics.jsonl to checkpoints/NAME; never overwrites another run.
    Ctrl-C saves the run; --resume continues it to exactly the same result.
    """
    if out is not None and name is not None:
        raise UsageError("--out and --name contradict each other", "one of them")
    given_options = dict(on_the_command_line(context))
    run_options = RunOptions(sample_every, save_every, keep, watch_gradients, json, quiet)
    if resume is not None:
        refuse_new_settings(context)
        pending = pending_in(Path(resume))
        if pending is not None:
            continue_pending(context, Path(resume), pending, run_options)
            return
        resume_run(resume, corpus or [], run_options, on_nonfinite, workers, teacher or ())
        return
    request = request_of(context)
    if like is not None:
        request = request_like(like, request, given_options, quiet=quiet)
    refuse_unread_options(
        context,
        layout=request.layout,
        has_teachers=bool(request.teachers or request.train_teachers),
        cell=request.given.get("cell"),
        val_fraction=request.val_fraction,
    )
    start_run(request, run_options)
