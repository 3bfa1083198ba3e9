"""Rounds of a run on labels: their lengths, and when another one follows."""

import pytest

from charrnn.optim.schedules import completed_plans, lr_at_step
from charrnn.training.pair_budget import first_round, more_may_help, next_round, round_start
from charrnn.training_config import Progress, TrainingConfig

FIRST = TrainingConfig(steps=300)
SECOND = TrainingConfig(steps=900, earlier_plans="300:300")


def at_end(config: TrainingConfig, best_step: int, train: float, best: float = 1.0) -> Progress:
    return Progress(
        step=config.steps,
        smooth_nats=train,
        best_nats=best,
        best_step=best_step,
        evaluated=config.steps,
    )


@pytest.mark.parametrize(
    ("best_step", "train", "more"),
    [
        (300, 0.65, True),  # the last validation was the best
        (300, 0.55, False),  # but much is memorised
        (250, 0.8, True),  # a late one was, and little is memorised
        (250, 0.6, False),
        (150, 0.8, False),
        (150, 0.95, True),  # nothing is memorised: nothing was learned yet, either
        (10, 1.1, True),
    ],
)
def test_a_round_follows_while_more_may_help(best_step: int, train: float, more: bool) -> None:
    progress = at_end(FIRST, best_step, train)
    assert more_may_help(progress, FIRST) == more
    assert next_round(progress, FIRST, 10**6) == (900 if more else None)


def test_a_later_round_is_measured_from_its_beginning() -> None:
    assert round_start(SECOND) == 300
    assert not more_may_help(at_end(SECOND, 290, 0.8), SECOND)
    assert not more_may_help(at_end(SECOND, 650, 0.8), SECOND)
    assert more_may_help(at_end(SECOND, 750, 0.8), SECOND)
    assert next_round(at_end(SECOND, 900, 0.65), SECOND, 10**6) == 900 + 2 * 600


def test_the_time_left_limits_a_round() -> None:
    progress = at_end(FIRST, 300, 0.65)
    assert next_round(progress, FIRST, 299) is None
    assert next_round(progress, FIRST, 300) == 600
    assert next_round(progress, FIRST, 450) == 750


def test_a_solved_task_needs_no_more() -> None:
    progress = at_end(FIRST, 300, 0.5)
    progress.solved = True
    assert not more_may_help(progress, FIRST)


def test_short_times_have_no_rounds() -> None:
    assert first_round(100, 1_500) == 500
    assert first_round(100, 1_499) is None
    assert first_round(4, 180) == 60


def test_each_round_is_annealed_and_begins_at_the_full_rate() -> None:
    plans = ((300, 300),)
    rates = [lr_at_step(1.0, "cosine", 100, at, 900, plans) for at in range(900)]
    alone = [lr_at_step(1.0, "cosine", 100, at, 300) for at in range(300)]
    assert rates[:300] == alone
    assert rates[299] < 0.03
    assert rates[300] == 1.0
    assert rates[300:] == sorted(rates[300:], reverse=True)
    assert rates[-1] < 0.03
    unequal = lr_at_step(1.0, "cosine", 100, 300, 900, ((300, 301),))
    assert unequal < 0.03  # a plan that was not at its end goes on from where it is


def test_the_end_of_every_round_is_validated() -> None:
    assert completed_plans("300:300,500:700,900:900") == {300, 900}
    config = TrainingConfig(steps=900, eval_every=70, earlier_plans="300:300")
    due = [step for step in range(1, 901) if Progress(step=step).validation_due(config)]
    assert due == sorted([*range(70, 901, 70), 300, 900])
