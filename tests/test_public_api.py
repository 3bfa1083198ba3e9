"""Arguments of the public API: one that cannot be used is a `CharRNNError`, as for the commands."""

import inspect
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charrnn
from charrnn import CharRNNError
from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.lookup import checkpoint_in
from charrnn.checkpointing.records import Checkpoint, CorpusRecord
from charrnn.data.layouts import LAYOUTS, vocabulary_of_pairs
from charrnn.data.vocabulary import Vocabulary
from charrnn.inference.sampling import Sampling
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise

HUGE = 10**5000
"""An integer that Python does not convert to text."""

NOT_WHOLE: tuple[Any, ...] = (1.5, math.nan, "1", None, True, [1])
NOT_NUMBERS: tuple[Any, ...] = ("1", None, True, [1.0], 1j)
NOT_TEXTS: tuple[Any, ...] = (None, 5, b"ab", ["a"], ("a", "b"))
NOT_PATHS: tuple[Any, ...] = (None, 5, b"run", ["run"], "\0", "a\0b", "\ud800", "", ".")

LABELS_AND_TEXTS = {
    "one-to-one": ("red", (("red", "rot"), ("blue", "blau"))),
    "one-to-many": ("red", (("red", "rot"), ("blue", "blau"))),
    "many-to-one": ("ab", (("ab", "x"), ("b", "y"))),
    "many-to-many": ("ab", (("ab", "xy"), ("b", "x"))),
    "synced": ("ab", (("ab", "xy"), ("b", "x"))),
}
"""An input and the pairs of each layout."""


def language_model(characters: str = "abc\n", *, as_bytes: bool = False) -> charrnn.Model:
    vocabulary = Vocabulary(characters, as_bytes)
    config = ModelConfig(len(vocabulary), len(vocabulary), hidden=4)
    weights = initialise(config, np.random.default_rng(0))
    record = CorpusRecord("nothing", "0" * 64, 0, 0.1, as_bytes=as_bytes)
    return charrnn.Model(Checkpoint(config, vocabulary, weights, record, 0))


def predictor(layout: str) -> charrnn.Predictor:
    pairing = vocabulary_of_pairs(layout, LABELS_AND_TEXTS[layout][1])
    config = ModelConfig(pairing.inputs, pairing.outputs, hidden=4)
    return charrnn.Predictor(config, initialise(config, np.random.default_rng(0)), pairing)


Calls = Iterator[tuple[str, Callable[[], object]]]


def each(name: str, call: Callable[[Any], object], *values: Any) -> Calls:
    """Yield a call for each value of an argument."""
    for value in values:
        shown = "huge" if value is HUGE else f"{value!r:.20}"
        yield f"{name}={shown}", partial(call, value)


def by_name(call: Callable[..., object], name: str, value: object) -> object:
    """Call with one argument by its name."""
    return call(**{name: value})


def calls_of_models() -> Calls:
    model = language_model()

    def generated(**arguments: Any) -> str:
        return "".join(model.generate(**{"prime": "a", "length": 3, **arguments}))

    def sampled(**arguments: Any) -> list[str]:
        given = {"prime": "a", "length": 3, "sampling": Sampling(), **arguments}
        return ["".join(text) for text in model.samples(**given)]

    for name, wrong in {
        "length": (*NOT_WHOLE, -1, HUGE),
        "top_k": (*NOT_WHOLE, -1),
        "seed": (*NOT_WHOLE, -1),
        "temperature": (*NOT_NUMBERS, -1, math.nan, math.inf, HUGE),
        "top_p": (*NOT_NUMBERS, 0, -1, 2, math.nan, math.inf, HUGE),
        "prime": (*NOT_TEXTS, "z", "\0", "\ud800", "é"),
        "stop": (*NOT_TEXTS, "z", "\0", "\ud800", "é"),
    }.items():
        yield from each(f"generate: {name}", partial(by_name, generated, name), *wrong)
    yield from each("samples: count", lambda v: sampled(count=v), *NOT_WHOLE, 0, -1, 10**6, HUGE)
    yield from each("samples: length", lambda v: sampled(length=v), *NOT_WHOLE, -1, HUGE)
    yield from each("samples: prime", lambda v: sampled(prime=v), *NOT_TEXTS, "z")
    yield from each("samples: sampling", lambda v: sampled(sampling=v), None, 1.0, {})
    yield from each("step", model.step, *NOT_WHOLE, -1, 4, HUGE)
    yield from each("start", model.start, *NOT_TEXTS, "z")
    yield from each("typed", model.typed, *NOT_TEXTS)
    yield from each("evaluate", model.evaluate, *NOT_TEXTS, "", "a", "az", "\udcff")
    ids: tuple[Any, ...] = (
        [],
        [1],
        [0, 4],
        [0, -1],
        None,
        "ab",
        [0.5, 1.0],
        [[0, 1]],
        [[0], [1, 2]],
        [10**30, 1],
    )
    yield from each("score", model.score, *ids)
    yield from each("surprisals", model.surprisals, *ids)
    yield from each(
        "surprisals: k", lambda v: model.surprisals(np.array([0, 1]), v), *NOT_WHOLE, -1
    )
    yield from each("mean_surprisal", model.mean_surprisal, *ids)
    window = (value for value in NOT_WHOLE if value is not None)
    yield from each(
        "mean_surprisal: window",
        lambda v: model.mean_surprisal(np.array([0, 1]), v),
        *window,
        0,
        -1,
    )
    yield from each("save", model.save, *NOT_PATHS, "a" * 1000, "nowhere/x.npz", "folder")
    of_bytes = language_model("ab\xc3\n", as_bytes=True)
    yield from each("bytes", lambda v: list(of_bytes.generate(v, 3)), *NOT_TEXTS, "é", "\ud800")


def calls_of_constructors() -> Calls:
    others: tuple[Any, ...] = (None, 5, "run", Path("run"), {}, object())
    yield from each("Model", charrnn.Model, *others)
    yield from each("Predictor.of", charrnn.Predictor.of, *others, language_model().checkpoint)
    good = predictor("many-to-one")
    parts: dict[str, Any] = {
        "config": good.config,
        "parameters": good.parameters,
        "pairing": good.pairing,
    }
    made = partial(charrnn.Predictor, **parts)
    for name in parts:
        yield from each(f"Predictor: {name}", partial(by_name, made, name), *others)
    forms = (*NOT_TEXTS[1:], "", "nfx", "NFC")
    yield from each("Predictor: normalise", partial(by_name, made, "normalise"), *forms)


def calls_of_predictors() -> Calls:
    for layout in LAYOUTS:
        yield from calls_of_predictor(layout)


def calls_of_predictor(layout: str) -> Calls:
    good, model = LABELS_AND_TEXTS[layout][0], predictor(layout)

    def sampled(**arguments: Any) -> list[str]:
        return model.sample(**{"field": good, "sampling": Sampling(), **arguments})

    calls: dict[str, Callable[[Any], object]] = {
        "prompt": model.prompt,
        "answer": lambda v: model.answer([v]),
        "alignment": model.alignment,
        "label_probabilities": lambda v: model.label_probabilities([v]),
        "sample": lambda v: sampled(field=v),
    }
    for name, call in calls.items():
        yield from each(f"{layout}: {name}", call, *NOT_TEXTS, "", "z", "\0", "\ud800")
    yield from each(f"{layout}: inputs", model.answer, good, None, 5, b"ab", [good, ""])
    yield from each(f"{layout}: inputs", model.label_probabilities, good, None, 5)
    yield from each(f"{layout}: beam", lambda v: model.answer([good], v), *NOT_WHOLE, 0, -1, HUGE)
    yield from each(f"{layout}: beam", partial(model.alignment, good), *NOT_WHOLE, 0, -1, HUGE)
    yield from each(f"{layout}: count", lambda v: sampled(count=v), *NOT_WHOLE, 0, -1, HUGE)
    yield from each(f"{layout}: which", lambda v: sampled(which=v), *NOT_WHOLE, -1, HUGE)
    yield from each(f"{layout}: sampling", lambda v: sampled(sampling=v), None, 1.0)
    if not LAYOUTS[layout].feeds_back:
        yield f"{layout}: sample", sampled
    if LAYOUTS[layout].answer_is_text:
        yield f"{layout}: labels", lambda: model.label_probabilities([good])


def calls_of_files() -> Calls:
    wrong = (*NOT_PATHS, "a" * 1000, "nowhere", "folder", "empty.npz", "/dev/zero")
    yield from each("load", charrnn.load, *wrong)
    yield from each("Predictor.load", charrnn.Predictor.load, *wrong)
    missing = map(Path, ("nowhere", "folder", "empty.npz", "a" * 1000))
    yield from each("load_checkpoint", load_checkpoint, *missing)
    yield from each("checkpoint_in", checkpoint_in, Path("folder"), Path("a" * 1000))
    yield "load of pairs", lambda: charrnn.load("pairs.npz")
    yield "Predictor.load of a text", lambda: charrnn.Predictor.load("text.npz")


def calls_of_networks() -> Calls:
    for kind in (charrnn.RNN, charrnn.LSTM, charrnn.MLSTM, charrnn.GRU):
        yield from calls_of_network(kind)


def calls_of_network(kind: Any) -> Calls:
    def made(**arguments: Any) -> Any:
        return kind(**{"input_size": 2, "hidden_size": 3, "output_size": 2, **arguments})

    wrong: dict[str, tuple[Any, ...]] = {
        "input_size": (*NOT_WHOLE, 0, -1, HUGE),
        "hidden_size": (*NOT_WHOLE, 0, -1, HUGE),
        "output_size": (*NOT_WHOLE, 0, -1, HUGE),
        "seed": (*NOT_WHOLE, -1, HUGE),
        "gain": (*NOT_NUMBERS, math.nan, math.inf, 1e300, HUGE),
        "forget_bias": (*NOT_NUMBERS, math.nan, math.inf, 1e300, HUGE),
        "init": (*NOT_TEXTS, "", "x", "normal:-1", "normal:nan", "identity:2"),
        "input_init": (*NOT_TEXTS[1:], "", "x", "uniform:1e99"),
        "dtype": (int, complex, object, "x", "S3", [1]),
    }
    for name, values in wrong.items():
        yield from each(f"{kind.__name__}: {name}", partial(by_name, made, name), *values)
    shapes: tuple[Any, ...] = (1, [], [1], [1, 2, 3], [[1, 2], [3]], np.zeros((1, 1, 2)))
    types: tuple[Any, ...] = (None, "ab", ["a", "b"], [None, 1], {}, [1j, 2], [10**30, 1])
    yield from each(f"{kind.__name__}: step", made().step, *shapes, *types)


CALLS = {
    f"{number} {name}": call
    for number, (name, call) in enumerate(
        (
            *calls_of_models(),
            *calls_of_constructors(),
            *calls_of_predictors(),
            *calls_of_files(),
            *calls_of_networks(),
        )
    )
}


def test_an_argument_that_cannot_be_used_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("empty.npz").touch()
    language_model().save("text.npz")
    pairs = predictor("many-to-one")
    record = CorpusRecord("nothing", "0" * 64, 0, 0.1)
    kept = Checkpoint(pairs.config, pairs.pairing, pairs.parameters, record, 0)
    charrnn.Model.save(_Saved(kept), "pairs.npz")  # type: ignore[arg-type]  # only its checkpoint
    faults = []
    for name, call in CALLS.items():
        try:
            call()
            faults.append(f"{name}: accepted")
        except CharRNNError as error:
            if "\n" in str(error) or len(str(error)) > 200:
                faults.append(f"{name}: {error}")
        except Exception as error:
            faults.append(f"{name}: {type(error).__name__}: {error}")
    assert not faults
    assert {path.name for path in tmp_path.iterdir()} == {
        *("folder", "empty.npz", "text.npz", "pairs.npz"),
    }


class _Saved:
    """Has a checkpoint, as a model has."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint


def test_every_public_method_is_tried() -> None:
    tried = " ".join(CALLS)
    exempt = {"reset", "of", "limit", "state", "parameters", "vocabulary", "config"}
    for kind in (charrnn.Model, charrnn.Predictor, charrnn.LSTM):
        for name, _ in inspect.getmembers(kind, callable):
            if not name.startswith("_") and name not in exempt:
                assert name in tried, f"{kind.__name__}.{name}"
    assert len(CALLS) > 600


def test_the_layouts_of_the_table_are_all_there_are() -> None:
    assert set(LABELS_AND_TEXTS) == set(LAYOUTS)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_good_argument_is_accepted(layout: str) -> None:
    good = LABELS_AND_TEXTS[layout][0]
    model = predictor(layout)
    beam: Any = np.int64(2)
    cold: Any = np.float32(0.5)
    assert len(model.answer([good, good], beam)) == 2
    assert model.answer([]) == []
    assert model.answer((good,))[0].probability > 0
    if LAYOUTS[layout].feeds_back:
        assert len(model.sample(good, Sampling(cold, beam), 3)) == 3
    if not LAYOUTS[layout].answer_is_text:
        assert model.label_probabilities([good]).sum() == pytest.approx(1)
