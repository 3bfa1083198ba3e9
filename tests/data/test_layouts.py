"""Layouts of pairs: arrangement of examples, numbering of symbols, padding of batches."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.data.layouts import LAYOUTS, PairVocabulary, vocabulary_of_pairs
from charrnn.data.pair_batches import (
    MAX_BUCKETS,
    MIN_BATCHES_PER_BUCKET,
    Examples,
    PairBatchConfig,
    PairBatches,
    buckets,
)
from charrnn.errors import TextError, UsageError
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters
from charrnn.types import Array

PAIRS = {
    "one-to-one": [("a", "A"), ("b", "B"), ("c", "C"), ("ß", "SS")],
    "one-to-many": [("red", "rouge"), ("red", "rosso"), ("blue", "bleu"), ("sky", "ciel bleu")],
    "many-to-one": [("ab", "vowel"), ("bb", "none"), ("bab", "vowel"), ("bbbbbbb", "none")],
    "many-to-many": [("one", "1"), ("twenty", "20"), ("thirty one", "31"), ("two", "2")],
    "synced": [("abc", "xyz"), ("ca", "zx"), ("b", "y"), ("abcabcab", "xyzxyzxy")],
}
ARRANGED = {
    "one-to-one": (("b", "B"), "b", "B", [1]),
    "one-to-many": (("blue", "bleu"), ["blue", *"bleu"], [*"bleu", "END"], [1] * 5),
    "many-to-one": (("bab", "vowel"), "bab", [None, None, "vowel"], [0, 0, 1]),
    "many-to-many": (
        ("two", "2"),
        ["t", "w", "o", "GO", "2"],
        [None, None, None, "2", "END"],
        [0, 0, 0, 1, 1],
    ),
    "synced": (("ca", "zx"), "ca", "zx", [1, 1]),
}
every_layout = pytest.mark.parametrize("layout", LAYOUTS)


def pairing_for(layout: str) -> PairVocabulary:
    return vocabulary_of_pairs(layout, PAIRS[layout])


def laid_out(layout: str) -> Examples:
    pairing = pairing_for(layout)
    return Examples.of(
        [pairing.example(*pair) for pair in PAIRS[layout]], pairing.inputs, pairing.outputs
    )


@every_layout
def test_an_example_is_arranged_as_the_lecture_draws_it(layout: str) -> None:
    pairing = pairing_for(layout)
    pair, read, guessed, scored = ARRANGED[layout]
    between = ["GO"] if layout == "many-to-many" else []
    fed_back = list(pairing.answers) if pairing.layout_spec.feeds_back else []
    inputs = [*pairing.sources, *between, *fed_back]
    outputs = [*pairing.answers, "END"]
    assert len(inputs) == pairing.inputs
    example = pairing.example(*pair)
    # what is written is read in its own numbers, behind those of what is read
    written = len(inputs) - len(fed_back)
    names = [
        inputs[id_] if id_ < written or not fed_back else fed_back[id_ - written]
        for id_ in example.inputs
    ]
    assert names == list(read)
    assert example.target_mask.tolist() == [bool(one) for one in scored]
    found = [
        outputs[target] if counts else None
        for target, counts in zip(example.targets, example.target_mask, strict=True)
    ]
    assert found == list(guessed)


@every_layout
def test_the_prompt_is_what_comes_before_the_first_guess(layout: str) -> None:
    pairing = pairing_for(layout)
    for source, answer in PAIRS[layout]:
        example = pairing.example(source, answer)
        first = int(np.flatnonzero(example.target_mask)[0])
        expected = example.inputs if layout == "synced" else example.inputs[: first + 1]
        np.testing.assert_array_equal(pairing.prompt(source), expected)


@every_layout
def test_targets_spell_the_answer(layout: str) -> None:
    pairing = pairing_for(layout)
    for source, answer in PAIRS[layout]:
        example = pairing.example(source, answer)
        assert pairing.decode(example.targets[example.target_mask]) == answer


@every_layout
def test_unknown_symbols_are_named(layout: str) -> None:
    pairing = pairing_for(layout)
    source, answer = PAIRS[layout][0]
    with pytest.raises(TextError, match="'☃' never occurred in what the model reads"):
        pairing.example("☃", answer)
    with pytest.raises(TextError, match="'☃' never occurred in what the model answers"):
        pairing.example(source, "☃")


def test_synced_wants_equal_lengths() -> None:
    with pytest.raises(TextError, match="3 characters but 2 answers"):
        pairing_for("synced").example("abc", "xy")


@pytest.mark.parametrize(
    "arguments",
    [
        ("sideways", ("a",), ("b",)),
        ("synced", (), ("b",)),
        ("synced", ("a", "a"), ("b",)),
        ("synced", ("ab",), ("b",)),
        ("many-to-one", ("a",), ("",)),
        ("synced", ("a",), ("b",), 0),
    ],
)
def test_what_cannot_be_symbols_is_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(UsageError):
        PairVocabulary(*arguments)


# --- padding


def network(
    build: Callable[..., Network], layout: str, cell: str, T: int, B: int, layers: int = 2
) -> Network:
    pairing = pairing_for(layout)
    config = ModelConfig(pairing.inputs, pairing.outputs, cell=cell, hidden=5, layers=layers)
    made = build(config, T, B)
    made.reset_state()
    return made


def walk(net: Network, inputs: Array, targets: Array, weights: Array) -> tuple[float, Array]:
    """Return Σ weights · nats and its gradient."""
    assert net.gradients is not None
    net.reset_state()
    net.forward(inputs)
    loss = float(np.sum(net.loss(targets) * weights))
    net.backward(targets, weights)
    return loss, net.gradients.vector.copy()


@every_layout
def test_a_padded_batch_is_the_sum_of_its_unpadded_examples(
    build: Callable[..., Network], cell: str, layout: str
) -> None:
    examples = laid_out(layout)
    n, T = len(examples), int(examples.lengths.max())
    net = network(build, layout, cell, T + 3, n)  # padding behind even the longest
    inputs, targets, scored = examples.padded(np.arange(n), T + 3)
    weights = scored / examples.predictions.sum()
    loss, gradient = walk(net, inputs, targets, weights)
    total, summed = 0.0, np.zeros_like(gradient)
    for number, length in enumerate(examples.lengths):
        alone = Network(net.config, net.parameters, int(length), 1, net.parameters.like())
        one = examples.padded(np.array([number]), int(length))
        part, grad = walk(alone, one[0], one[1], one[2] / examples.predictions.sum())
        total += part
        summed += grad
        # nor does it matter to the state after an example's own last character
        for layer, other in zip(net.layers, alone.layers, strict=True):
            for name, history in layer.state_history.items():
                np.testing.assert_allclose(
                    history[length, number], other.state_history[name][-1, 0], rtol=0, atol=1e-14
                )
    assert loss == pytest.approx(total, rel=1e-13)
    np.testing.assert_allclose(gradient, summed, rtol=1e-11, atol=1e-14)
    assert np.linalg.norm(gradient) > 1e-3


@every_layout
def test_what_stands_in_the_padding_does_not_matter(
    build: Callable[..., Network], layout: str
) -> None:
    examples = laid_out(layout)
    n, T = len(examples), int(examples.lengths.max()) + 2
    net = network(build, layout, "lstm", T, n)
    inputs, targets, scored = examples.padded(np.arange(n), T)
    weights = scored / 7
    padding = np.arange(T)[:, None] >= examples.lengths
    before = walk(net, inputs, targets, weights)
    after = walk(net, np.where(padding, net.config.inputs - 1, inputs), targets * scored, weights)
    assert before[0] == after[0]
    np.testing.assert_allclose(before[1], after[1], rtol=1e-12, atol=1e-16)


@every_layout
def test_the_gradient_of_every_layout_is_a_complex_step(
    build: Callable[..., Network], cell: str, layout: str, rng: np.random.Generator
) -> None:
    examples = laid_out(layout)
    n, T = len(examples), int(examples.lengths.max())
    net = network(build, layout, cell, T, n)
    inputs, targets, scored = examples.padded(np.arange(n), T)
    weights = scored / examples.predictions.sum()
    _, gradient = walk(net, inputs, targets, weights)
    shadow = Parameters(net.config.shapes(), np.complex128)
    moved = Network(net.config, shadow, T, n)
    for _ in range(5):
        direction = rng.standard_normal(len(gradient))
        shadow.vector[...] = net.parameters.vector + 1e-30j * direction
        moved.reset_state()
        moved.forward(inputs)
        slope = np.sum(moved.loss(targets) * weights).imag / 1e-30
        assert slope == pytest.approx(gradient @ direction, rel=1e-11, abs=1e-15)


# --- batches


def random_examples(count: int, seed: int = 0, longest: int = 30) -> Examples:
    rng = np.random.default_rng(seed)
    pairing = PairVocabulary("many-to-one", tuple("abcdef"), ("x", "y"))
    words = ["".join(rng.choice(list("abcdef"), rng.integers(1, longest))) for _ in range(count)]
    return Examples.of([pairing.example(word, "x") for word in words], 6, 2)


@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=200),
    st.integers(1, 50),
)
def test_buckets_hold_everything_and_are_never_too_small(lengths: list[int], least: int) -> None:
    array = np.array(lengths)
    found = buckets(array, least)
    assert 1 <= len(found) <= MAX_BUCKETS
    assert found[-1] == array.max()
    assert np.all(np.diff(found) > 0)
    counts = np.bincount(np.searchsorted(found, array), minlength=len(found))
    assert counts.sum() == len(array)
    assert counts.min() >= min(least, len(array))


def test_buckets_have_the_least_padding() -> None:
    np.testing.assert_array_equal(buckets(np.repeat([3, 4, 50], 10), 5), [3, 4, 50])
    np.testing.assert_array_equal(buckets(np.repeat([3, 4, 50], 10), 20), [4, 50][1:])
    lengths = np.random.default_rng(3).geometric(0.1, 5000)
    found = buckets(lengths, 64)
    padded = found[np.searchsorted(found, lengths)].sum()
    assert padded < 1.25 * lengths.sum()


def test_an_epoch_reads_no_example_twice_and_nearly_all_once() -> None:
    examples, B = random_examples(500), 8
    batches = PairBatches(examples, B, seed=4)
    marks = np.arange(len(examples.inputs))  # so that a batch tells which examples are in it
    marked = Examples(marks, examples.targets, examples.target_mask, examples.starts)
    batches.examples = marked
    for epoch in range(2):
        seen = []
        for step in range(batches.steps_per_epoch):
            window = batches.at(epoch * batches.steps_per_epoch + step)
            seen += window.inputs[0].tolist()
            assert window.reset_mask.all()
            assert len(window.inputs) * B == batches.positions(
                epoch * batches.steps_per_epoch + step
            )
            assert isinstance(window.weights, np.ndarray)
            assert window.weights.sum() == pytest.approx(1, rel=1e-5)
            assert window.num_targets == B
        assert len(set(seen)) == len(seen)
        assert len(seen) > 500 - MAX_BUCKETS * B
        assert set(seen) <= set(examples.starts[:-1].tolist())
    assert batches.characters_per_step == pytest.approx(examples.lengths.mean() * B, rel=0.2)


def test_a_step_tells_its_batch_whatever_came_before() -> None:
    examples = random_examples(200)
    one, other = (PairBatchConfig(16, seed=9).batcher(examples.arrays) for _ in range(2))
    for step in range(40):
        one.at(step)
    for step in (31, 2, 17):
        a, b = one.at(step), other.at(step)
        np.testing.assert_array_equal(a.inputs, b.inputs)
        np.testing.assert_array_equal(a.targets, b.targets)
    assert not np.array_equal(one.at(0).inputs[:3], one.at(one.steps_per_epoch).inputs[:3])


def test_rows_of_a_batch_can_be_read_alone() -> None:
    batches = PairBatches(random_examples(200), 16, seed=9)
    whole, part = batches.at(5), batches.at(5, slice(3, 11))
    np.testing.assert_array_equal(part.inputs, whole.inputs[:, 3:11])
    assert isinstance(whole.weights, np.ndarray)
    np.testing.assert_array_equal(part.weights, whole.weights[:, 3:11])
    assert (part.num_targets, part.num_inputs) == (whole.num_targets, whole.num_inputs)


def test_too_few_examples_for_a_batch_are_an_error() -> None:
    with pytest.raises(TextError, match="5 examples do not fill a batch of 6"):
        PairBatches(random_examples(5), 6, seed=0)
    assert PairBatches(random_examples(5), 5, seed=0).steps_per_epoch == 1
    assert MIN_BATCHES_PER_BUCKET >= 1
