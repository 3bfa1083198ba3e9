"""Command `charrnn inspect-gradients`: gradient profile, metrics and other views of models."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from threadpoolctl import threadpool_limits

from charrnn.analysis.context import context_losses
from charrnn.analysis.diagnosis import VERDICT_KINDS
from charrnn.analysis.gradient_profile import DEFAULT_LAGS, DEFAULT_WINDOWS
from charrnn.checkpointing.lookup import find_checkpoint
from charrnn.cli.inspect import models
from charrnn.cli.inspect.checks import check_view_options
from charrnn.cli.inspect.inspection import (
    TextMemories,
    inspect_model,
    inspections_as_csv,
    inspections_as_json,
)
from charrnn.cli.inspect.live import follow_run
from charrnn.cli.inspect.metrics import help_of_all
from charrnn.cli.inspect.models import InspectedModel, TextChoice
from charrnn.cli.inspect.probe import run_probe
from charrnn.cli.inspect.text_view import show_influence, write_csv
from charrnn.cli.inspect.view import TerminalView, curves_of, lag_label, layer_heat_map, text_names
from charrnn.cli.options import Quiet, option
from charrnn.cli.output.console import warn
from charrnn.cli.output.image_plots import GRADIENT_LABELS, check_plot, save_plot
from charrnn.cli.output.safe_text import one_line, write_plain
from charrnn.cli.runs.metrics_log import to_json
from charrnn.errors import UsageError
from charrnn.limits import LAG_LIMITS, SEED, WINDOW_LIMITS, unknown
from charrnn.nn.cells import CELLS
from charrnn.nn.initialisers import INITIALISERS

VIEW, INITIAL, MEASURE, OUTPUT = "Other views", "Untrained networks", "Measurement", "Output"


def inspect_gradients(
    called: typer.Context,
    checkpoints: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CHECKPOINT",
            help="Checkpoints (.npz) or run folders to compare. Default: the newest run or, "
            "without any run, four untrained networks. With --live: one run. With --probe: a "
            "task, recall or france.",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(help="Text to measure on. Default: the text that the model was trained on."),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help=help_of_all(),
        ),
    ] = False,
    show: Annotated[
        str | None,
        option(VIEW, "Show the influence of each character of this text on the next prediction."),
    ] = None,
    context: Annotated[bool, option(VIEW, "Show the loss by context length.", "--context")] = False,
    probe: Annotated[
        bool,
        option(
            VIEW,
            "Train small networks to remember a symbol across a gap, or, with --probe france, a "
            "country that determines a language.",
            "--probe",
        ),
    ] = False,
    gaps: Annotated[
        str | None, option(VIEW, "Gaps for --probe, in characters, such as 5,20,80.")
    ] = None,
    live: Annotated[
        bool, option(VIEW, "Follow the gradient of a run while it trains.", "--live")
    ] = False,
    at_init: Annotated[
        bool,
        option(INITIAL, "Inspect untrained networks, or models as initialised.", "--at-init"),
    ] = False,
    cells: Annotated[
        str | None, option(INITIAL, f"Cells to compare: {','.join(CELLS)}.", "--cells", "--cell")
    ] = None,
    inits: Annotated[
        str | None,
        option(
            INITIAL,
            f"Initialisers of the recurrent weights to compare: {', '.join(INITIALISERS)}; such "
            "as orthogonal,normal:0.01.",
            "--inits",
            "--recurrent-init",
        ),
    ] = None,
    hidden: Annotated[int | None, option(INITIAL, "Units in each layer. Default: 128.")] = None,
    layers: Annotated[int | None, option(INITIAL, "Number of layers. Default: 1.")] = None,
    gain: Annotated[
        float | None,
        option(
            INITIAL, "Factor on the recurrent weights; with 2 an rnn explodes.", "--recurrent-gain"
        ),
    ] = None,
    input_init: Annotated[str | None, option(INITIAL, "Initialiser of the input weights.")] = None,
    input_gain: Annotated[float | None, option(INITIAL, "Factor on the input weights.")] = None,
    forget_bias: Annotated[
        float | None, option(INITIAL, "Initial forget-gate bias of the lstm.")
    ] = None,
    lags: Annotated[int, option(MEASURE, "Characters to follow the gradient back.")] = DEFAULT_LAGS,
    windows: Annotated[
        int, option(MEASURE, "Positions whose losses are followed back.")
    ] = DEFAULT_WINDOWS,
    seed: Annotated[int, option(MEASURE, "Seed of these positions, or of --probe.")] = 0,
    encoding: Annotated[
        str | None, option(MEASURE, "Encoding of --text, applied strictly. Default: utf-8.")
    ] = None,
    json: Annotated[
        bool, option(OUTPUT, "Print one JSON object (see docs/inspect-gradients.md).", "--json")
    ] = False,
    as_table: Annotated[
        bool,
        option(OUTPUT, "Print CSV, a row for each model, layer, lag and quantity.", "--csv"),
    ] = False,
    plot: Annotated[
        str | None, option(OUTPUT, "Save a plot as FILE.png, .svg or .pdf.", metavar="FILE")
    ] = None,
    fail_on: Annotated[
        str | None,
        option(OUTPUT, f"Exit with code 1 for these verdicts: {','.join(VERDICT_KINDS[:-1])}."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Show how much of the loss at one character reaches the state k characters earlier.

    The gradient may vanish, explode or arrive: the profile of each layer, a verdict, and advice.
    Without any run, four untrained networks are compared, which takes about two seconds.
    """
    threadpool_limits(1, user_api="blas")  # two threads stall when another process is busy
    check_view_options(called)
    failing = verdicts_to_fail_on(fail_on)
    LAG_LIMITS.check("--lags", lags)
    WINDOW_LIMITS.check("--windows", windows)
    SEED.check("--seed", seed)
    if plot is not None:
        check_plot(Path(plot))
    paths = checkpoints or []
    if live:
        follow_run(paths)
        return
    if probe:
        run_probe(paths, gaps, seed, json=json, as_table=as_table, quiet=quiet)
        return
    given = {
        "hidden": hidden,
        "layers": layers,
        "gain": gain,
        "input_init": input_init,
        "input_gain": input_gain,
        "forget_bias": forget_bias,
    }
    given = {key: value for key, value in given.items() if value is not None}
    texts = TextChoice(text, encoding, needed=show is None)
    chosen = choose_models(paths, texts, cells, inits, given, at_init=at_init)
    if show is not None:
        show_influence(chosen, show, json=json, as_table=as_table)
        return
    if context:
        show_context(chosen, seed, json=json, as_table=as_table)
        return
    memories = TextMemories(seed)
    found = [
        inspect_model(
            model,
            lags=lags,
            windows=windows,
            seed=seed,
            everything=everything,
            memories=memories,
        )
        for model in chosen
    ]
    if json:
        write_plain(f"{to_json(inspections_as_json(found))}\n")
    elif as_table:
        write_plain(inspections_as_csv(found))
    elif quiet:
        TerminalView().verdicts(found)
    else:
        TerminalView().show(found, everything=everything)
    if plot is not None:
        title = f"Gradient of the loss at one character, {text_names(found)}"
        heat = layer_heat_map(found[0]) if len(found) == 1 else None
        labels = replace(GRADIENT_LABELS, x=lag_label(found))
        save_plot(Path(plot), curves_of(found), title=title, heat_map=heat, labels=labels)
    if any({one.verdict.kind, one.verdict.gradient} & failing for one in found):
        raise typer.Exit(1)


def verdicts_to_fail_on(text: str | None) -> set[str]:
    """Parse the comma-separated verdicts of `--fail-on`; UsageError for an unknown one."""
    kinds = set() if text is None else {kind.strip() for kind in text.split(",")}
    if others := sorted(kinds - set(VERDICT_KINDS)):
        raise unknown("verdict", others[0], VERDICT_KINDS)
    return kinds


def choose_models(
    paths: list[str],
    texts: TextChoice,
    cells: str | None,
    inits: str | None,
    given: dict[str, Any],
    *,
    at_init: bool,
) -> list[InspectedModel]:
    """Return the models to inspect: checkpoints, untrained networks, or the newest run.

    Args:
        paths: checkpoints or run folders on the command line.
        texts: the text of --text.
        cells: comma-separated cells of untrained networks, or None.
        inits: comma-separated recurrent initialisers of untrained networks, or None.
        given: other settings of untrained networks.
        at_init: whether to ignore trained weights.

    Raises UsageError for settings of untrained networks together with a checkpoint.
    """
    described = cells is not None or inits is not None or bool(given)
    if paths and described:
        raise UsageError(
            "the network of a checkpoint cannot be changed by options",
            "--at-init without a checkpoint",
        )
    if paths or (models.any_run() and not described and not at_init):
        if not paths:
            newest = find_checkpoint(None)
            warn(f"inspecting the newest run, {one_line(str(newest))}")
            paths = [str(newest)]
        return models.trained_models(paths, texts, at_init=at_init)
    if not described:
        return models.reference_models(texts)
    rows = models.network_grid(
        (cells or models.all_cells()).split(","), (inits or "orthogonal").split(","), given
    )
    return models.untrained_models(rows, texts, given)


def show_context(chosen: list[InspectedModel], seed: int, *, json: bool, as_table: bool) -> None:
    """Show the loss by context length for each model."""
    if any(model.examples is not None for model in chosen):
        raise UsageError("--context is for models of texts", "--show TEXT with a model of pairs")
    found = [
        (model, context_losses(model.config, model.parameters, model.ids, seed=seed))
        for model in chosen
    ]
    if json:
        rows = [{"name": model.name} | vars(one) for model, one in found]
        write_plain(f"{to_json({'schema': 1, 'context': rows})}\n")
    elif as_table:
        table = [
            (model.name, lag, nats)
            for model, one in found
            for lag, nats in zip(one.lags, one.nats_per_char, strict=True)
        ]
        write_csv(("model", "characters_seen", "nats_per_char"), table)
    else:
        view = TerminalView()
        for model, one in found:
            view.context(model, one)
