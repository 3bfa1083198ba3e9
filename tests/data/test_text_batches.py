"""Text batches: windows cover the text, targets are one character ahead, resets are seeded."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.data.text_batches import MIN_BATCHES_PER_ROW, TextBatches, shrink_batch_shape
from charrnn.errors import TextError
from charrnn.types import Array

LENGTHS = st.integers(2, 150)
SIZES = st.integers(1, 12)


def windows(N: int, T: int, B: int, state_reset_prob: float = 0.05, seed: int = 0) -> TextBatches:
    """Return windows over a text whose ids are their positions; a short text limits T and B."""
    T = min(T, N - 1)
    B = min(B, (N - 1) // T)
    return TextBatches(np.arange(N, dtype=np.uint32), T, B, seed, state_reset_prob)


@given(LENGTHS, SIZES, SIZES, st.integers(0, 10_000))
def test_a_target_is_the_next_input(N: int, T: int, B: int, step: int) -> None:
    text = windows(N, T, B)
    window = text.at(step)
    assert window.inputs.shape == window.targets.shape == (text.T, text.B)
    np.testing.assert_array_equal(window.targets, window.inputs + 1)
    np.testing.assert_array_equal(np.diff(window.inputs.astype(int), axis=0), 1)


@given(LENGTHS, SIZES, SIZES, st.sampled_from([0.0, 0.5]), st.integers(0, 50))
def test_an_epoch_reads_a_stretch_of_the_text_once(
    N: int, T: int, B: int, state_reset_prob: float, epoch: int
) -> None:
    text = windows(N, T, B, state_reset_prob)
    first = epoch * text.steps_per_epoch
    read = [text.at(first + k).inputs for k in range(text.steps_per_epoch)]
    positions = np.sort(np.concatenate(read).ravel())
    np.testing.assert_array_equal(positions, positions[0] + np.arange(len(positions)))
    spare = N - 1 - len(positions)
    assert 0 <= spare < text.T * text.B  # not one window more would fit
    assert 0 <= positions[0] <= spare  # and the last target is still inside the text
    assert state_reset_prob or positions[0] == 0


@given(LENGTHS, SIZES, SIZES, st.integers(0, 50))
def test_a_window_continues_its_sequence(N: int, T: int, B: int, epoch: int) -> None:
    text = windows(N, T, B)
    first = epoch * text.steps_per_epoch
    for step in range(first, first + text.steps_per_epoch - 1):
        np.testing.assert_array_equal(text.at(step).targets[-1], text.at(step + 1).inputs[0])


@given(LENGTHS, SIZES, SIZES, st.floats(0, 1), st.integers(0, 20))
def test_the_first_window_of_an_epoch_is_fresh_everywhere(
    N: int, T: int, B: int, state_reset_prob: float, epoch: int
) -> None:
    text = windows(N, T, B, state_reset_prob)
    window = text.at(epoch * text.steps_per_epoch)
    assert window.reset_mask.dtype == bool
    np.testing.assert_array_equal(window.reset_mask, np.ones(text.B))


@given(LENGTHS, SIZES, SIZES, st.integers(0, 2**40), st.integers(0, 2**63))
def test_a_window_is_a_function_of_the_step_alone(
    N: int, T: int, B: int, step: int, seed: int
) -> None:
    walked, asked = windows(N, T, B, seed=seed), windows(N, T, B, seed=seed)
    for other in (0, 3, step // 2):
        walked.at(other)
    first, second = walked.at(step), asked.at(step)
    np.testing.assert_array_equal(first.inputs, second.inputs)
    np.testing.assert_array_equal(first.reset_mask, second.reset_mask)


@given(LENGTHS, SIZES, SIZES, st.integers(0, 1000), st.integers(0, 12), st.integers(0, 12))
def test_rows_of_a_window_can_be_read_alone(
    N: int, T: int, B: int, step: int, start: int, stop: int
) -> None:
    text = windows(N, T, B, state_reset_prob=0.5)
    rows = slice(min(start, text.B), min(stop, text.B))
    whole, part = text.at(step), text.at(step, rows)
    np.testing.assert_array_equal(part.inputs, whole.inputs[:, rows])
    np.testing.assert_array_equal(part.targets, whole.targets[:, rows])
    np.testing.assert_array_equal(part.reset_mask, whole.reset_mask[rows])


def resets(rate: float, seed: int = 0) -> Array:
    """Return the reset masks of an epoch's windows after the first (windows, B)."""
    text = TextBatches(np.zeros(40 * 500 + 1, np.uint8), 1, 40, seed, rate)
    return np.array([text.at(step).reset_mask for step in range(1, text.steps_per_epoch)])


def test_states_are_reset_at_the_given_rate() -> None:
    assert not resets(0.0).any()
    assert resets(1.0).all()
    assert resets(0.05).mean() == pytest.approx(0.05, abs=0.01)
    assert not np.array_equal(resets(0.05), resets(0.05, seed=1))


def test_epochs_are_shifted_unless_nothing_is_reset() -> None:
    N, T, B = 130, 10, 3
    first = {}
    for rate in (0.0, 0.05):
        text = windows(N, T, B, rate)
        epochs = range(0, 60 * text.steps_per_epoch, text.steps_per_epoch)
        first[rate] = {int(text.at(step).inputs[0, 0]) for step in epochs}
    assert first[0.0] == {0}
    assert min(first[0.05]) == 0
    assert max(first[0.05]) == 129 - 120  # all of the slack is used, and no more
    assert len(first[0.05]) > 5


def test_a_text_that_fills_its_windows_exactly_is_read_to_its_end() -> None:
    text = TextBatches(np.arange(25, dtype=np.uint8), T=4, B=3, seed=0, state_reset_prob=0.05)
    assert text.steps_per_epoch == 2
    np.testing.assert_array_equal(text.at(0).inputs[:, 2], [16, 17, 18, 19])
    np.testing.assert_array_equal(text.at(3).targets[:, 2], [21, 22, 23, 24])


@pytest.mark.parametrize(("N", "T", "B"), [(0, 1, 1), (1, 1, 1), (24, 4, 6), (12, 12, 1)])
def test_a_text_too_short_for_one_window_is_refused(N: int, T: int, B: int) -> None:
    with pytest.raises(
        TextError, match=r"characters are too few for .* try a smaller --batch-size"
    ):
        TextBatches(np.zeros(N, np.uint8), T, B, seed=0, state_reset_prob=0.05)


@given(st.integers(2, 3000), st.integers(1, 300), st.integers(1, 100))
def test_fit_always_finds_windows(characters: int, T: int, B: int) -> None:
    fitted_T, fitted_B = shrink_batch_shape(characters, T, B)
    assert 1 <= fitted_T <= T
    assert 1 <= fitted_B <= B
    text = TextBatches(
        np.zeros(characters, np.uint8), fitted_T, fitted_B, seed=0, state_reset_prob=0.05
    )
    if characters > MIN_BATCHES_PER_ROW:
        assert text.steps_per_epoch >= MIN_BATCHES_PER_ROW
    assert shrink_batch_shape(characters, fitted_T, fitted_B) == (fitted_T, fitted_B)


def test_fit_leaves_alone_what_fits() -> None:
    assert shrink_batch_shape(64 * 32 * MIN_BATCHES_PER_ROW + 1, 64, 32) == (64, 32)
    assert shrink_batch_shape(64 * 32 * MIN_BATCHES_PER_ROW, 64, 32) == (64, 31)


@pytest.mark.parametrize("characters", [0, 1])
def test_fewer_than_two_characters_are_a_clear_error(characters: int) -> None:
    T, B = shrink_batch_shape(characters, 64, 32)
    with pytest.raises(TextError, match="too few"):
        TextBatches(np.zeros(characters, np.uint8), T, B, seed=0, state_reset_prob=0.05)
