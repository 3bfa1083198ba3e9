"""Prompts read as prefix trees: the same answers as one by one, for any texts."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.data.layouts import LAYOUTS, PairVocabulary
from charrnn.data.prompts import Prompts, encode_prompts
from charrnn.inference.batch_steps import BatchSteps
from charrnn.inference.predictor import Answer, Predictor
from charrnn.inference.prefix_tree import MAX_TABLE, PrefixTree, numbered
from charrnn.inference.prompt_answers import answers_of_group
from charrnn.inference.prompt_readers import NetworkReader, PromptReader
from charrnn.inference.tree_reader import MIN_TREE_PROMPTS, TreeReader, reader_for, tree_fits
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise

TEXTS = st.lists(st.text("abc", min_size=1, max_size=9), min_size=1, max_size=30)
ONES = ("a", "b", "c")
ANSWERS = {"many-to-one": ("x", "yy", "z"), "one-to-one": ("x", "yy")}


def model_of(
    layout: str, cell: str, layers: int, seed: int, *, backwards: bool, heads: int = 0
) -> Predictor:
    """Return a model in float64 with random weights."""
    pairing = PairVocabulary(layout, ONES, ANSWERS.get(layout, ("x", "y", "z")), longest=3)
    use = pairing.layout_spec.backward_use if backwards else None
    config = ModelConfig(
        *(pairing.inputs, pairing.outputs, cell),
        hidden=5,
        layers=layers,
        bidirectional=use,
        attention=heads if use == "context" else 0,
    )
    rng = np.random.default_rng(seed)
    parameters = initialise(config, rng, np.float64)
    parameters.vector[...] = rng.normal(0, 0.9, parameters.vector.shape)
    return Predictor(config, parameters, pairing)


def answers(model: Predictor, reader: PromptReader, prompts: Prompts, beam: int) -> list[Answer]:
    """Return the answers to prompts that one reader reads together."""
    texts, p = answers_of_group(reader, prompts, model.pairing, beam)
    return [Answer(text, one) for text, one in zip(texts, p.tolist(), strict=True)]


def fields_of(layout: str, texts: Sequence[str]) -> list[str]:
    """Return texts, or the first characters of texts, as the layout reads them."""
    return list(texts) if LAYOUTS[layout].source_is_text else [text[0] for text in texts]


@settings(max_examples=120)
@given(
    texts=TEXTS,
    layout=st.sampled_from(sorted(LAYOUTS)),
    cell=st.sampled_from(sorted(CELLS)),
    layers=st.integers(1, 2),
    backwards=st.booleans(),
    heads=st.sampled_from((0, 1, 5)),
    beam=st.sampled_from((1, 1, 2, 5)),
    seed=st.integers(0, 50),
)
def test_a_tree_gives_the_answers_of_one_by_one(
    *,
    texts: list[str],
    layout: str,
    cell: str,
    layers: int,
    backwards: bool,
    heads: int,
    beam: int,
    seed: int,
) -> None:
    model = model_of(layout, cell, layers, seed, backwards=backwards, heads=heads)
    fields = fields_of(layout, texts)
    prompts, readable = encode_prompts(model.pairing, fields, None)
    assert readable.all()
    if not tree_fits(model.config):
        assert (layers, backwards) == (2, True)
        return
    together = answers(model, TreeReader(model.config, model.parameters), prompts, beam)
    for field, found in zip(fields, together, strict=True):
        reader = NetworkReader(model.config, model.parameters)
        (alone,) = answers(model, reader, Prompts.of([model.prompt(field)]), beam)
        assert found.text == alone.text
        assert found.probability == pytest.approx(alone.probability, rel=1e-9)


@pytest.mark.parametrize("heads", [1, 5])
@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_each_answer_attends_to_its_own_input(
    cell: str, beam: int, heads: int, rng: np.random.Generator
) -> None:
    """Answers of different lengths leave the batch at different steps."""
    texts = ["".join(rng.choice(list("abc"), rng.integers(1, 9))) for _ in range(60)]
    for seed in range(50):
        model = model_of("many-to-many", cell, 1, seed, backwards=True, heads=heads)
        prompts, _ = encode_prompts(model.pairing, texts, None)
        together = answers(model, TreeReader(model.config, model.parameters), prompts, beam)
        if len({len(one.text) for one in together}) > 2:
            break
    else:
        pytest.fail("no network ends its answers at different steps")
    for text, found in zip(texts, together, strict=True):
        reader = NetworkReader(model.config, model.parameters)
        (alone,) = answers(model, reader, Prompts.of([model.prompt(text)]), beam)
        assert found.text == alone.text
        assert found.probability == pytest.approx(alone.probability, rel=1e-9)


@settings(max_examples=60)
@given(texts=TEXTS, reverse=st.booleans())
def test_a_tree_has_a_node_for_every_different_prefix(texts: list[str], reverse: bool) -> None:
    prompts = Prompts.of([np.array([ord(one) - 97 for one in text]) for text in texts])
    tree = PrefixTree.of(prompts, 3, reverse=reverse)
    spelled = [text[::-1] if reverse else text for text in texts]
    prefixes = {text[:end] for text in spelled for end in range(1, len(text) + 1)}
    assert tree.first_nodes[-1] - 1 == len(prefixes)
    node_of: dict[str, int] = {}
    for number, text in enumerate(spelled):
        path = tree.paths[prompts.starts[number] : prompts.starts[number + 1]]
        for end, node in enumerate(path[::-1] if reverse else path, 1):
            assert node_of.setdefault(text[:end], node) == node
        assert tree.ends[number] == node_of[text]
    assert len(set(node_of.values())) == len(prefixes)
    parent = {0: ""} | {int(node): prefix for prefix, node in node_of.items()}
    for depth, level in enumerate(tree.levels):
        first, before = tree.first_nodes[depth], tree.first_nodes[depth - 1] if depth else 0
        for node, (branch, symbol) in enumerate(zip(level.branches, level.symbols, strict=True)):
            text = parent[int(level.parents[branch] + before)] + chr(97 + symbol)
            assert parent[int(node + first)] == text


def test_children_are_numbered_alike_by_a_table_and_by_sorting(rng: np.random.Generator) -> None:
    keys = rng.integers(0, 1000, 500)
    by_table, by_sorting = numbered(keys, 1000), numbered(keys, MAX_TABLE + 1)
    for one, other in zip(by_table, by_sorting, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(by_table[0][by_table[1]], keys)


def test_a_network_reads_few_prompts_and_what_no_tree_fits() -> None:
    one = model_of("many-to-one", "lstm", 1, 0, backwards=True)
    two = model_of("many-to-one", "lstm", 2, 0, backwards=True)
    for model, count, kind in (
        (one, MIN_TREE_PROMPTS, TreeReader),
        (one, MIN_TREE_PROMPTS - 1, NetworkReader),
        (two, 10_000, NetworkReader),
    ):
        assert type(reader_for(model.config, model.parameters, count)) is kind


@pytest.mark.parametrize("layout", ["many-to-one", "many-to-many", "synced"])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("heads", [0, 1])
def test_groups_change_no_answer(
    layout: str,
    backwards: bool,
    heads: int,
    monkeypatch: pytest.MonkeyPatch,
    rng: np.random.Generator,
) -> None:
    model = model_of(layout, "gru", 1, 3, backwards=backwards, heads=heads)
    texts = ["".join(rng.choice(list("abc"), rng.integers(1, 12))) for _ in range(300)]
    whole = model.answer(texts)
    monkeypatch.setattr("charrnn.inference.tree_reader.GROUP_NUMBERS", 500)
    assert (
        len(
            list(
                reader_for(model.config, model.parameters, 300).groups(
                    encode_prompts(model.pairing, texts, None)[0], 1
                )
            )
        )
        > 4
    )
    monkeypatch.setattr("charrnn.inference.batch_steps.MIN_BLOCK_ROWS", 3)
    monkeypatch.setattr("charrnn.inference.batch_steps.BLOCK_NUMBERS", 1)
    for one, other in zip(whole, model.answer(texts), strict=True):
        assert one.text == other.text
        assert one.probability == pytest.approx(other.probability, rel=1e-9)


def test_probabilities_of_labels_are_those_of_one_by_one(rng: np.random.Generator) -> None:
    model = model_of("many-to-one", "lstm", 1, 4, backwards=True)
    texts = ["".join(rng.choice(list("abc"), rng.integers(1, 12))) for _ in range(40)]
    together = model.label_probabilities(texts)
    alone = np.concatenate([model.label_probabilities([text]) for text in texts])
    np.testing.assert_allclose(together, alone, rtol=1e-9)


def test_threads_change_no_answer(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    model = model_of("many-to-many", "lstm", 1, 5, backwards=True)
    texts = ["".join(rng.choice(list("abc"), rng.integers(1, 12))) for _ in range(300)]
    monkeypatch.setattr("charrnn.inference.batch_steps.MIN_BLOCK_ROWS", 3)
    monkeypatch.setattr("charrnn.inference.batch_steps.BLOCK_NUMBERS", 1)
    one = model.answer(texts)
    used = set()
    real = BatchSteps._step

    def step(*arguments: Any) -> None:
        used.add(threading.get_ident())
        real(*arguments)

    monkeypatch.setattr(BatchSteps, "_step", step)
    monkeypatch.setattr("charrnn.inference.block_threads.blas_threads", lambda: 3)
    assert model.answer(texts) == one
    assert len(used) > 1
