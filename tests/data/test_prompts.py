"""Numbering many inputs at once: as one by one, for any characters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.data.layouts import LAYOUTS, PairVocabulary
from charrnn.data.prompts import MIN_JOINED, Prompts, decode_answers, encode_prompts
from charrnn.errors import TextError
from charrnn.inference.predictor import Predictor
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise

SYMBOLS = "abé中\U0001f600"
TYPED = st.text(f"{SYMBOLS}e\u0301\ufeffq\udcff", max_size=5)


@given(
    fields=st.lists(TYPED, min_size=MIN_JOINED, max_size=20),
    layout=st.sampled_from(sorted(LAYOUTS)),
    normalise=st.sampled_from((None, "nfc")),
)
def test_inputs_are_numbered_together_as_one_by_one(
    fields: list[str], layout: str, normalise: str | None
) -> None:
    pairing = PairVocabulary(layout, tuple(SYMBOLS), ("x", "y"))
    config = ModelConfig(pairing.inputs, pairing.outputs, hidden=2)
    model = Predictor(config, initialise(config, np.random.default_rng(0)), pairing, normalise)
    prompts, readable = encode_prompts(pairing, fields, normalise)
    assert len(prompts) == len(readable) == len(fields)
    for number, field in enumerate(fields):
        if not readable[number]:
            with pytest.raises(TextError):
                model.prompt(field)
            continue
        found = prompts.ids[prompts.starts[number] : prompts.starts[number + 1]]
        np.testing.assert_array_equal(found, model.prompt(field))
    chosen = prompts.chosen(np.flatnonzero(readable))
    singly = [encode_prompts(pairing, [field], normalise) for field in fields]
    assert [bool(one[1][0]) for one in singly] == readable.tolist()
    expected = Prompts.of([one.ids for one, known in singly if known[0]])
    np.testing.assert_array_equal(chosen.ids, expected.ids)
    np.testing.assert_array_equal(chosen.starts, expected.starts)


def test_prompts_are_padded_and_cut() -> None:
    prompts = Prompts.of([np.array([3, 1, 2]), np.array([4]), np.array([5, 6])])
    np.testing.assert_array_equal(prompts.padded(), [[3, 4, 5], [1, 0, 6], [2, 0, 0]])
    cut = prompts.without_last()
    np.testing.assert_array_equal(cut.ids, [3, 1, 5])
    np.testing.assert_array_equal(cut.lengths, [2, 0, 1])
    reordered = prompts.chosen(np.array([2, 0]))
    np.testing.assert_array_equal(reordered.ids, [5, 6, 3, 1, 2])


@given(st.lists(st.text("xy\U0001f600", max_size=4), max_size=9))
def test_answers_are_spelled(answers: list[str]) -> None:
    pairing = PairVocabulary("many-to-many", ("a",), ("x", "y", "\U0001f600"))
    ids = [pairing.answer_ids(answer) for answer in answers]
    joined = np.concatenate([np.zeros(0, np.int64), *ids])
    lengths = np.array([len(answer) for answer in answers], np.int64)
    assert decode_answers(pairing, joined, lengths) == answers
