"""Memory probe: its tasks, its training, and its result on the task of the reference models."""

import math
import multiprocessing
import re
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from charrnn.analysis import memory_probe
from charrnn.analysis.memory_probe import (
    BATCH_SIZE,
    EVALUATE_EVERY,
    EVALUATED_SEQUENCES,
    PROBE_MODELS,
    SOLVED_ACCURACY,
    TRAINING_CHARACTERS,
    ProbeProgress,
    Trial,
    TrialResult,
    plan_trials,
    run_trial,
    run_trials,
)
from charrnn.analysis.memory_tasks import MAX_PROBE_GAP, TASKS, France, Recall
from charrnn.data.builtin_texts import LANGUAGES, MIN_GAP_CHARS, OPENING
from charrnn.errors import UsageError, WorkerError

QUICK = Trial("recall", PROBE_MODELS["rnn-orthogonal"], gap=5, steps=50, seed=0)


def results(events: Iterable[ProbeProgress | TrialResult]) -> list[TrialResult]:
    return [event for event in events if isinstance(event, TrialResult)]


def chance_interval(chance: float, events: int) -> tuple[float, float]:
    """Return the accuracies that guessing at random stays within in 99.9 % of the cases."""
    likelihood = np.array(
        [
            math.exp(
                math.lgamma(events + 1)
                - math.lgamma(right + 1)
                - math.lgamma(events - right + 1)
                + right * math.log(chance)
                + (events - right) * math.log1p(-chance)
            )
            for right in range(events + 1)
        ]
    )
    below = np.cumsum(likelihood)
    low, high = np.searchsorted(below, [0.0005, 0.9995])
    return low / events, high / events


@pytest.mark.parametrize("gap", [1, 2, 5, 80])
def test_a_symbol_then_exactly_the_gap_of_filler_then_the_question(gap: int) -> None:
    inputs, targets, _ = Recall(gap).draw(200, np.random.default_rng(0))
    symbols, fillers = len(Recall.answers), len(Recall.filler)
    assert inputs.shape == targets.shape == (gap + 2, 200)
    assert set(inputs[0]) == set(range(symbols))
    assert np.all((inputs[1:-1] >= symbols) & (inputs[1:-1] < symbols + fillers))
    assert np.all(inputs[-1] == symbols + fillers)
    assert np.array_equal(targets[-1], inputs[0])
    assert Recall.inputs == symbols + fillers + 1


def spell(column: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> str:
    return "".join(France.characters[i] for i in column)


@pytest.mark.parametrize("gap", [MIN_GAP_CHARS, 45, 80])
def test_a_sentence_ends_before_its_language_and_holds_its_country_whole(gap: int) -> None:
    inputs, targets, _ = France(gap).draw(100, np.random.default_rng(0))
    seen = set()
    for column, target in zip(inputs.T, targets[-1], strict=True):
        reading = spell(column)
        before = reading[:-gap]
        country = France.countries[France.answers[target]]
        assert before.endswith(country)
        assert (OPENING + country).endswith(before)
        assert reading[-gap:].startswith(". ")
        assert reading.endswith(" I speak fluent ")
        assert LANGUAGES[country][0] == France.answers[target]
        seen.add(country)
    assert seen == set(France.countries.values())


def test_no_two_languages_of_the_france_probe_begin_alike() -> None:
    initials = [LANGUAGES[country][0] for country in France.countries.values()]
    assert sorted(initials) == sorted(set(initials)) == list(France.answers)
    assert "France" in France.countries.values()
    assert set(initials) == {language[0] for language in LANGUAGES.values()}


@pytest.mark.parametrize("name", TASKS)
def test_only_the_answer_is_scored(name: str) -> None:
    _, targets, weights = TASKS[name](40).draw(16, np.random.default_rng(0))
    assert weights.shape == targets.shape
    assert not weights[:-1].any()
    assert np.all(weights[-1] == 1 / 16)


@pytest.mark.parametrize("name", TASKS)
def test_batches_are_fresh_but_repeatable(name: str) -> None:
    task = TASKS[name](40)
    first, again, other = (task.draw(8, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.inputs, again.inputs)
    assert not np.array_equal(first.inputs, other.inputs)


def test_probe_models_differ_as_their_names_say() -> None:
    configs = {name: entry.config(17, 8, 80) for name, entry in PROBE_MODELS.items()}
    assert list(configs) == ["rnn-normal", "rnn-orthogonal", "gru", "lstm", "lstm-chrono"]
    lstm, chrono = configs["lstm"], configs["lstm-chrono"]
    assert lstm.forget_bias == 1
    assert chrono == replace(lstm, forget_bias=math.log(79))
    small = configs["rnn-normal"]
    assert small.init == small.input_init == small.readout_init == "normal:0.01"
    assert configs["rnn-orthogonal"].init == "orthogonal"
    assert all((config.inputs, config.outputs) == (17, 8) for config in configs.values())


def test_the_plan_gives_every_gap_the_same_characters_to_read() -> None:
    trials = plan_trials()
    assert len(trials) == len(PROBE_MODELS) * len(Recall.default_gaps)
    for trial in trials:
        length = Recall(trial.gap).length
        assert 0 <= TRAINING_CHARACTERS - trial.steps * BATCH_SIZE * length < BATCH_SIZE * length
    assert {trial.gap for trial in plan_trials("france")} == set(France.default_gaps)
    assert plan_trials(gaps=[MAX_PROBE_GAP], probe_models=["gru"])[0].steps >= EVALUATE_EVERY


def test_an_orthogonal_network_solves_a_gap_of_ten_in_a_few_steps() -> None:
    *events, result = run_trial(replace(QUICK, gap=10, steps=200))
    assert isinstance(result, TrialResult)
    assert result.solved
    assert result.accuracy >= SOLVED_ACCURACY
    assert result.steps <= 100
    assert result.chance == 1 / 8
    assert [event.step for event in events if isinstance(event, ProbeProgress)] == list(
        range(EVALUATE_EVERY, result.steps + 1, EVALUATE_EVERY)
    )


def test_the_accuracy_is_measured_after_the_last_step_too() -> None:
    *events, result = run_trial(replace(QUICK, probe_model=PROBE_MODELS["rnn-normal"], steps=7))
    assert isinstance(result, TrialResult)
    assert result.steps == 7
    assert [event.step for event in events if isinstance(event, ProbeProgress)] == [7]
    assert not result.solved


@pytest.mark.parametrize("name", ["rnn-orthogonal", "lstm-chrono"])
@pytest.mark.parametrize("task", TASKS)
def test_a_symbol_outside_the_window_is_guessed_at_random(task: str, name: str) -> None:
    """The state is zero after the symbol, so that the accuracy is that of guessing."""
    (trial,) = plan_trials(task, [MIN_GAP_CHARS], [name], seed=3, window=MIN_GAP_CHARS)
    (result,) = results(run_trial(replace(trial, steps=60)))
    low, high = chance_interval(result.chance, EVALUATED_SEQUENCES)
    assert low <= result.accuracy <= high
    assert result.chance == 1 / len(TASKS[task].answers)


def test_the_same_trial_in_a_window_that_shows_the_symbol_is_solved() -> None:
    (result,) = results(run_trial(replace(QUICK, gap=10, steps=100, window=12)))
    assert result.solved


def test_the_interval_of_chance_is_the_binomial_one() -> None:
    low, high = chance_interval(1 / 8, 512)
    assert low < 1 / 8 < high
    assert high - low == pytest.approx(2 * 3.29 * math.sqrt(1 / 8 * 7 / 8 / 512), rel=0.05)


def test_results_depend_neither_on_other_trials_nor_on_processes() -> None:
    trials = [
        replace(QUICK, probe_model=probe_model, gap=gap)
        for probe_model in PROBE_MODELS.values()
        for gap in (3, 8)
    ]
    alone = [result for trial in trials for result in results(run_trial(trial))]
    assert results(run_trials(trials)) == alone
    shared = results(run_trials(trials, processes=2))
    assert {result.trial: result for result in shared} == {result.trial: result for result in alone}
    assert len({result.accuracy for result in alone}) > 3


def test_another_seed_is_another_trial() -> None:
    trial = replace(QUICK, probe_model=PROBE_MODELS["gru"])
    first, other = (next(run_trial(replace(trial, seed=seed))) for seed in (0, 1))
    assert first.accuracy != other.accuracy


def test_a_stopped_trial_has_no_result() -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 30

    events = list(
        run_trials([replace(QUICK, probe_model=PROBE_MODELS["gru"], steps=500)] * 3, stop=stop)
    )
    assert [type(event) for event in events] == [ProbeProgress]


def test_stopping_ends_the_processes_too() -> None:
    trials = [replace(QUICK, probe_model=PROBE_MODELS["gru"], gap=MAX_PROBE_GAP, steps=500)] * 3
    assert list(run_trials(trials, processes=2, stop=lambda: True)) == []
    assert not multiprocessing.active_children()


def test_a_process_that_dies_is_an_error_of_one_line() -> None:
    broken = replace(QUICK, gap=MAX_PROBE_GAP, steps=10**6)
    events = run_trials([replace(broken, gap=1), broken], processes=2)
    assert isinstance(next(events), ProbeProgress)
    for child in multiprocessing.active_children():
        child.kill()
    with pytest.raises(WorkerError, match="a worker process was killed by SIGKILL") as caught:
        list(events)
    advised = set(re.findall(r"--[a-z-]+", str(caught.value)))
    assert advised == {"--gaps"}  # an option that --probe has
    assert not multiprocessing.active_children()


def test_a_gradient_that_is_not_finite_is_not_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_probe, "norm", lambda _: math.inf)
    (result,) = results(run_trial(QUICK))
    assert result.steps == QUICK.steps
    assert not result.solved


@pytest.mark.parametrize("gap", [0, -1, MAX_PROBE_GAP + 1])
def test_a_gap_without_meaning_is_a_usage_error(gap: int) -> None:
    with pytest.raises(UsageError, match=f"a gap of {gap} is not within 1 and"):
        plan_trials(gaps=[5, gap])


def test_sentences_have_a_smallest_gap() -> None:
    with pytest.raises(UsageError, match=f"within {MIN_GAP_CHARS} and"):
        plan_trials("france", gaps=[MIN_GAP_CHARS - 1])


def test_unknown_names_and_numbers_without_meaning_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="no probe called 'belgium'; there are recall, france"):
        plan_trials("belgium")
    with pytest.raises(UsageError, match="no probe model called 'gnu'; there are rnn-normal"):
        plan_trials(probe_models=["gru", "gnu"])
    with pytest.raises(UsageError, match="--seed is -1"):
        plan_trials(seed=-1)
    with pytest.raises(UsageError, match="window is 0"):
        plan_trials(window=0)
    with pytest.raises(UsageError, match="processes is 0"):
        next(run_trials([QUICK], processes=0))


@pytest.mark.slow
def test_only_two_initialisations_bridge_every_gap() -> None:
    """As the gap grows, the plain RNN, GRU and LSTM fail; two initialisations solve every gap."""
    table = {
        (r.trial.probe_model.name, r.trial.gap): r for r in results(run_trials(plan_trials(), 2))
    }
    assert len(table) == 25
    for name in PROBE_MODELS:  # beyond 5, seed and BLAS decide when the plain network gets there
        gaps = (5,) if name == "rnn-normal" else (5, 10, 20)
        assert all(table[name, gap].solved for gap in gaps)
    for name in ("rnn-orthogonal", "lstm-chrono"):
        assert all(table[name, gap].solved for gap in (40, 80))
    for name in ("rnn-normal", "gru", "lstm"):
        assert table[name, 40].accuracy < 0.5
        low, high = chance_interval(1 / 8, EVALUATED_SEQUENCES)
        assert low <= table[name, 80].accuracy <= high
