"""A new run: planning, measuring, and making its folder."""

import contextlib
import time
from dataclasses import replace

from charrnn.checkpointing.checkpoint import check_storable
from charrnn.cli.output.console import Screen, warn
from charrnn.cli.runs.environment import command_line, machine_facts, seconds_since_start
from charrnn.cli.runs.run_folder import RunFolder, storage_errors
from charrnn.cli.runs.signals import StopOnSignal
from charrnn.cli.train.baseline_speed import measure_baselines
from charrnn.cli.train.distillation import teachers_facts
from charrnn.cli.train.early_annealing import EarlyAnnealing
from charrnn.cli.train.first_screen import what_is_given, what_was_chosen
from charrnn.cli.train.loop import Run
from charrnn.cli.train.network_plans import (
    NGRAMS,
    PLANNED,
    budget_of_first,
    networks_in,
    networks_sharing_time,
)
from charrnn.cli.train.planning import (
    closing_seconds,
    create_trainer,
    fix_steps,
    measured_budget,
    scoring_limits,
    too_short,
    validation_seconds,
)
from charrnn.cli.train.prepare_run import PreparedRun, prepare_run, wanted_folder
from charrnn.cli.train.ranks import warn_of_ranks
from charrnn.cli.train.repeat_options import repeating_options
from charrnn.cli.train.replanning import Expected, Replanning
from charrnn.cli.train.request import TrainRequest
from charrnn.cli.train.rounds import OWN_PLAN, Rounds, in_rounds, labelled_pairs
from charrnn.cli.train.run_options import RunOptions
from charrnn.cli.train.teacher_runs import TRAIN_TEACHERS
from charrnn.data.file_discovery import STDIN
from charrnn.data.large_text_files import ids_path
from charrnn.errors import UsageError
from charrnn.nn.network import initialise
from charrnn.nn.parameters import Parameters
from charrnn.randomness import Purpose, generator
from charrnn.system.files import (
    move,
)
from charrnn.system.mpi import world
from charrnn.training.distillation import teachers_by_time
from charrnn.training.prepared_data import PreparedData, PreparedText
from charrnn.training.presets import MAX_MUON_HIDDEN, Budget, Plan
from charrnn.training.trainer import Trainer


def train_run(
    request: TrainRequest, run_options: RunOptions, folder: RunFolder | None = None
) -> int:
    """Train a network to its end, or until a signal.

    Returns 0, or without training how many teachers are to be trained first, which depends on the
    speed of this machine.

    Args:
        request: the run.
        run_options: how it is shown and saved.
        folder: its folder, if it has one.
    """
    with contextlib.ExitStack() as stack:
        start = prepare_run(request, stack, quiet=run_options.quiet)
        prepared = start.prepared

        ranks = world()
        alone = ranks is not None or start.parent is not None

        def sharing(budget: Budget) -> int:
            return networks_sharing_time(request.networks, prepared, budget, alone=alone)

        def plan_for(budget: Budget) -> Plan:
            own = budget_of_first(budget, sharing(budget))
            if request.teachers:
                return student_plan(start, request, own)
            return start.planner(request.preset, request.given, own)

        planned = plan_for(request.budget)
        check_storable(planned.model, planned.training, prepared.symbols)
        for note in (*start.notes, *planned.notes) if folder is None else ():
            warn(note)
        screen = Screen(stderr=True, highlight=False, quiet=run_options.quiet)
        screen.print(what_is_given(prepared))
        if request.train_teachers:
            if ranks is not None:
                raise UsageError(
                    "--train-teachers starts processes of this machine, and mpirun has started its "
                    "own",
                    "--teacher CKPT",
                )
            return request.train_teachers

        def initial_for(planned: Plan) -> Parameters:
            if start.parent is not None:
                return start.parent.parameters
            return initialise(planned.model, generator(planned.training.seed, Purpose.WEIGHTS))

        initial = initial_for(planned)
        trainer, speed = create_trainer(planned, prepared, request.workers, initial, ranks)
        stack.callback(lambda: trainer.close())
        measured = measured_budget(request.budget, trainer, speed)
        if not alone and (count := teachers_wanted(request, prepared, measured)):
            return count
        refined = plan_for(measured)
        if refined.model.hidden != planned.model.hidden:  # a faster or slower machine than typical
            trainer.close()
            planned, initial = refined, initial_for(refined)
            trainer, speed = create_trainer(planned, prepared, request.workers, initial, ranks)
        elif (refined.model, refined.training) != (planned.model, planned.training):
            # Other epochs than guessed, so other regularisation.
            workers = trainer.config.workers
            trainer.close()
            planned = replace(refined, training=replace(refined.training, workers=workers))
            trainer = Trainer(planned.model, planned.training, prepared.dataset, initial, ranks)
        planned = replace(planned, budget=refined.budget)
        if request.budget.minutes is not None:
            speed = replace(speed, baseline_character=measure_baselines(prepared))
        trainer.config = fix_steps(planned, trainer, prepared, speed)
        round_config = in_rounds(trainer.config, trainer, prepared, request.budget, request.given)
        trainer.config = round_config or trainer.config
        val_limit = trainer.config.val_limit
        limits = scoring_limits(request.budget, speed, prepared, val_limit)
        closing = closing_seconds(speed, prepared, limits, val_limit)
        once = validation_seconds(speed, prepared, val_limit)
        networks = networks_in(
            1 if alone and request.networks is None else request.networks,
            trainer.model_config.hidden,
            request.budget,
            in_rounds=round_config is not None,
            closing_seconds=closing,
            ngrams=0 if trainer.config.balance and request.ngrams is None else request.ngrams,
            classifies=labelled_pairs(prepared) is not None,
            sharing=sharing(measured),
            validation_seconds=once,
            given=request.network_plans,
        )
        minutes = planned.budget.minutes
        short = too_short(request.budget, trainer.config.steps)
        if short is not None:
            warn(short)
        warn_of_ranks(ranks, trainer.config.workers, speed)
        stop = stack.enter_context(StopOnSignal())  # from here on there is something to save
        facts = {} if folder is None else folder.read_facts()
        if folder is None:
            folder = stack.enter_context(RunFolder.claim(wanted_folder(request, start.name)))
        path = folder.path
        if start.ids is not None:
            with storage_errors(path):
                move(start.ids, ids_path(path))

        def repeating() -> str:
            return repeating_options(
                trainer, prepared, start.planner, request.init_from, request.teachers
            )

        options = repeating()
        folder.write_facts(
            {
                "command": command_line(),
                "sources": list(start.sources),
                "steps": trainer.config.steps,
                "chosen": options,
                "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                "machine": machine_facts(),
                "scored": False,
                "scoring_limits": vars(limits),
                **teachers_facts(prepared, request.teachers, path),
                **{key: facts[key] for key in (TRAIN_TEACHERS,) if key in facts},
                **({NGRAMS: networks.ngrams} if networks.ngrams else {}),
                **({PLANNED: networks.planned} if networks.planned > 1 else {}),
                **({} if ranks is None else {"ranks": ranks.size}),
            }
        )

        chosen = what_was_chosen(trainer, prepared, speed, path, limits, options, ranks, networks)
        screen.print(chosen)
        replanning = rounds = annealing = None
        if request.budget.minutes is not None and round_config is not None:
            rounds = Rounds(60 * request.budget.minutes, closing)
        elif minutes is not None:
            expected = Expected(60 * minutes, speed.step, max(1e-9, once), closing)
            replanning = Replanning(expected)
            if not any(name in request.given for name in OWN_PLAN):
                annealing = EarlyAnnealing.of(prepared, minutes, closing)
        Run(
            folder,
            trainer,
            prepared,
            run_options,
            stop,
            limits,
            replanning,
            repeating,
            rounds,
            networks,
            annealing,
        ).go()
    return 0


def student_plan(start: PreparedRun, request: TrainRequest, budget: Budget) -> Plan:
    """Return the plan of a student: its size by all of the time, its dropout by what is left."""
    whole = start.planner(request.preset, request.given, budget)
    given = dict(request.given)
    if start.parent is None and request.preset == "default":
        given.setdefault("hidden", min(whole.model.hidden, MAX_MUON_HIDDEN))
    return replace(start.planner(request.preset, given, time_left(budget)), budget=budget)


def time_left(budget: Budget) -> Budget:
    """Return a budget with the minutes that are left once teachers were trained and read."""
    if budget.minutes is None:
        return budget
    left = budget.minutes - seconds_since_start() / 60
    return replace(budget, minutes=max(budget.minutes / 100, left))


def teachers_wanted(request: TrainRequest, prepared: PreparedData, budget: Budget) -> int:
    """Return how many teachers a run trains first, if none are asked for.

    Settings of the network or of training that are given are not those of teachers; with them there
    are none.
    """
    if (
        request.train_teachers is not None
        or request.teachers
        or request.preset != "default"
        or STDIN in request.paths
        or not isinstance(prepared, PreparedText)
        or not request.given.keys() <= ALLOWED_WITH_TEACHERS
    ):
        return 0
    return teachers_by_time(len(prepared.dataset.train), budget)


ALLOWED_WITH_TEACHERS = {"seed", "backend", "eval_every", "val_limit", "patience", "on_nonfinite"}
"""Fields of the configurations that may be given to a run that trains teachers by default: they
decide neither the network nor how it learns."""
