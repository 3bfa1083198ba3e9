"""Learning-rate schedules: warm-up, range, and final values."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.optim.schedules import FINAL_LR_FRACTION, SCHEDULES, cosine, lr_at_step, step


@given(st.sampled_from(list(SCHEDULES)), st.floats(0, 1), st.floats(0, 1))
def test_a_schedule_never_rises_nor_leaves_its_range(name: str, a: float, b: float) -> None:
    schedule = SCHEDULES[name]
    early, late = schedule(min(a, b)), schedule(max(a, b))
    assert 0 < late <= early <= 1
    assert schedule(0.0) == 1


def test_schedules_end_where_they_say() -> None:
    assert SCHEDULES["constant"](1.0) == 1
    assert cosine(1.0) == pytest.approx(FINAL_LR_FRACTION)
    assert cosine(0.5) == pytest.approx((1 + FINAL_LR_FRACTION) / 2)
    marks = [0.49, 0.5, 0.62, 0.63, 0.74, 0.76, 0.87, 0.88, 1.0]
    assert [step(mark) for mark in marks] == [1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 1 / 16, 1 / 16]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_rate_rises_in_a_line_and_then_falls(schedule: str) -> None:
    rates = [lr_at_step(0.4, schedule, 4, at, 20) for at in range(20)]
    np.testing.assert_allclose(rates[:5], [0.1, 0.2, 0.3, 0.4, 0.4])
    assert all(later <= earlier for earlier, later in pairwise(rates[4:]))
    assert rates[-1] > 0


@given(st.sampled_from(list(SCHEDULES)), st.integers(0, 30), st.integers(1, 20), st.integers(0, 19))
def test_a_rate_is_positive_and_at_most_the_one_asked_for(
    schedule: str, warmup_steps: int, steps: int, at: int
) -> None:
    assert 0 < lr_at_step(0.5, schedule, warmup_steps, min(at, steps - 1), steps) <= 0.5


def test_a_new_plan_goes_on_where_the_schedule_is_and_ends_with_the_run() -> None:
    def rate(at: int, steps: int, earlier: tuple[tuple[int, int], ...] = ()) -> float:
        return lr_at_step(1.0, "cosine", 10, at, steps, earlier)

    assert rate(9, 100, ((50, 200),)) == rate(9, 200)
    assert [rate(at, 100, ((50, 200),)) for at in range(50)] == [rate(at, 200) for at in range(50)]
    assert rate(50, 100, ((50, 200),)) == pytest.approx(rate(50, 200))
    assert rate(100, 100, ((50, 200),)) == pytest.approx(FINAL_LR_FRACTION)
    rates = [rate(at, 90, ((40, 300), (60, 70))) for at in range(10, 91)]
    assert all(first > second for first, second in pairwise(rates))
    assert rates[-1] == pytest.approx(FINAL_LR_FRACTION)


def test_a_plan_of_the_warmup_changes_nothing() -> None:
    for at in range(100):
        assert lr_at_step(1.0, "step", 20, at, 100, ((15, 50),)) == lr_at_step(
            1.0, "step", 20, at, 100
        )
