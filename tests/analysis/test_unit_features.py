"""Features of texts, states of units, and units that follow features."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.analysis.text_features import FEATURES, text_features
from charrnn.analysis.unit_features import (
    MIN_CHARACTERS,
    MIN_CORRELATION,
    FollowedFeature,
    UnitCorrelation,
    correlated_features,
    followed_features,
)
from charrnn.analysis.unit_spans import span_activity
from charrnn.analysis.unit_states import unit_states
from charrnn.errors import DivergedError, TextError, UsageError
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.nn.parameters import Parameters
from charrnn.types import Ids

ALPHABET = "abcd ABCD\n“”()"


def drawn_text(count: int, seed: int = 0) -> str:
    """Return words with capitals, quotations, brackets and line ends, each at random places."""
    rng = np.random.default_rng(seed)
    parts: list[str] = []
    for _ in range(count):
        word = "".join(rng.choice(list("abcd"), rng.integers(1, 7)))
        kind = rng.random()
        if kind < 0.2:
            word = word.capitalize()
        elif kind < 0.3:
            word = f"“{word} {word} {word}”"
        elif kind < 0.4:
            word = f"({word} {word})"
        parts.append(word + ("\n" if rng.random() < 0.15 else " "))
    return "".join(parts)


def ids_of(text: str) -> Ids:
    return np.array([ALPHABET.index(c) for c in text])


def model(seed: int = 0, **settings: object) -> tuple[ModelConfig, Parameters]:
    size = len(ALPHABET)
    config = ModelConfig(size, size, **{"hidden": 12, **settings})  # type: ignore[arg-type]
    return config, initialise(config, np.random.default_rng((seed, 99)))


def set_unit(
    parameters: Parameters, unit: int, adds: dict[str, float], clears: str, always: float = 0.0
) -> None:
    """Make the memory of a unit add a number at some characters, and become 0 at others."""
    weights = parameters.subset("layers.0")
    for name in ("W_xh", "W_hh", "b_h"):
        weights[name][..., unit] = 0
    weights["b_h"][:, unit] = (30, 30, 0, math.atanh(always))  # i, f, o, g
    for character in ALPHABET:
        added = adds.get(character, 0.0 if character in clears else always)
        weights["W_xh"][3, ALPHABET.index(character), unit] = math.atanh(added) - math.atanh(always)
        if character in clears:
            weights["W_xh"][1, ALPHABET.index(character), unit] = -60


def test_units_built_to_follow_a_feature_are_named_with_it() -> None:
    config, parameters = model(layers=2)
    set_unit(parameters, 3, {}, "\n", always=0.01)  # counts from the newline
    set_unit(parameters, 5, {"“": 0.9}, "”")
    set_unit(parameters, 7, dict.fromkeys("ABCD", -0.9), ALPHABET)
    set_unit(parameters, 8, {"(": 0.9}, ")")
    text = drawn_text(900)
    found = {
        feature.name: feature
        for feature in followed_features(
            config, parameters, ids_of(text), text_features(text), state="c"
        )
    }
    for name, unit, sign in (
        ("position in the line", 3, 1),
        ("inside quotes", 5, 1),
        ("capital letter", 7, -1),
        ("depth of brackets", 8, 1),
    ):
        best = found[name].best
        assert (best.layer, best.unit) == (0, unit), name
        assert best.correlation * sign > 0.99, name
        assert found[name].followed, name
        assert found[name].shifted < 0.5, name
        assert [abs(u.correlation) for u in found[name].units] == sorted(
            (abs(u.correlation) for u in found[name].units), reverse=True
        )
    assert "indentation" not in found  # constant in this text


def test_random_networks_stay_within_the_controls() -> None:
    text = drawn_text(500)
    ids, features = ids_of(text), text_features(text)
    claims = [
        (seed, cell, feature.name)
        for seed, cell in ((1, "lstm"), (2, "gru"), (3, "rnn"), (4, "lstm"), (5, "gru"))
        for feature in followed_features(*model(seed, cell=cell), ids, features)
        if feature.followed
    ]
    assert claims == []


def test_units_that_know_nothing_of_the_text_stay_within_the_shifted_control() -> None:
    """Noise with a memory of some fifty characters: slow units correlate by chance."""
    text = drawn_text(500)
    ids, features = ids_of(text), text_features(text)
    config, _ = model()
    claims, largest = 0, 0.0
    for seed in range(12):
        noise = np.random.default_rng(seed).normal(size=(len(ids), config.hidden))
        for t in range(1, len(noise)):
            noise[t] += 0.98 * noise[t - 1]
        states = {"layers.0.h": noise.astype(np.float32)}
        for found in correlated_features(config, states, ids, features, untrained=0):
            assert found.untrained is None
            claims += found.followed
            largest = max(largest, abs(found.best.correlation))
    assert largest > 0.15  # what a claim without a control would be made of
    assert claims <= 1  # expected: 12 × 6 / 200


def test_the_correlation_is_that_of_numpy() -> None:
    config, parameters = model(cell="gru")
    text = drawn_text(200)
    ids, features = ids_of(text), text_features(text)
    states = unit_states(config, parameters, ids)["layers.0.h"]
    for found in correlated_features(config, {"layers.0.h": states}, ids, features, untrained=2):
        everything = np.corrcoef(states.T, features[found.name])[-1, :-1]
        assert found.best.unit == np.argmax(np.abs(everything))
        assert found.best.correlation == pytest.approx(everything[found.best.unit], abs=1e-4)
        assert found.untrained is not None
        assert 0 < found.untrained < 1


@pytest.mark.parametrize("cell", CELLS)
def test_states_are_those_of_the_network_after_each_character(cell: str) -> None:
    config, parameters = model(cell=cell, layers=2)
    ids = ids_of(drawn_text(60))  # more than two passes
    found = unit_states(config, parameters, ids)
    network = Network(config, parameters, 1, 1)
    assert list(found) == list(network.states())
    for t, character in enumerate(ids):
        network.forward(np.full((1, 1), character))
        network.carry_state()
        for name, state in network.states().items():
            np.testing.assert_allclose(found[name][t], state[0], atol=1e-5)


def test_parts_are_read_from_zero_and_joined() -> None:
    config, parameters = model()
    ids = ids_of(drawn_text(80))[:301]
    whole = unit_states(config, parameters, ids, ("c",))
    parts = unit_states(config, parameters, ids, ("c",), parts=4)
    second = unit_states(config, parameters, ids[76:152], ("c",))
    assert parts["layers.0.c"].shape == whole["layers.0.c"].shape == (301, 12)
    np.testing.assert_allclose(parts["layers.0.c"][:76], whole["layers.0.c"][:76], atol=1e-5)
    np.testing.assert_allclose(parts["layers.0.c"][76:152], second["layers.0.c"], atol=1e-5)


def test_what_cannot_be_measured_is_one_clear_error() -> None:
    config, parameters = model(cell="gru")
    with pytest.raises(UsageError, match="the cell gru has no state 'c'; try h"):
        unit_states(config, parameters, ids_of("ab"), ("c",))
    with pytest.raises(TextError, match="no character to read"):
        unit_states(config, parameters, ids_of(""))
    short = drawn_text(500)[: MIN_CHARACTERS - 1]
    with pytest.raises(TextError, match="too few for correlations"):
        followed_features(config, parameters, ids_of(short), text_features(short))
    parameters["layers.0.b_h"][...] = np.nan
    with pytest.raises(DivergedError, match="not finite"):
        unit_states(config, parameters, ids_of("ab"))


@pytest.mark.parametrize(
    ("feature", "text", "expected"),
    [
        ("position in the line", "ab\n\nc", (1, 2, 0, 0, 1)),
        ("inside quotes", 'a "b" c', (0, 0, 1, 1, 0, 0, 0)),
        ("inside quotes", "«a»“\n\nb", (1, 1, 0, 1, 1, 0, 0)),
        ("inside quotes", "don't", (0,) * 5),
        ("depth of brackets", "([a])]", (1, 2, 2, 1, 0, 0)),
        ("depth of brackets", "{(}x", (1, 2, 0, 0)),
        ("indentation", "  a b\n\tc\n", (1, 2, 2, 2, 2, 0, 8, 8, 0)),
        ("capital letter", "aBÉ", (0, 1, 1)),
        ("position in the word", "it's, 9", (1, 2, 3, 4, 0, 0, 1)),
        ("word boundary", "a_b c.", (0, 0, 0, 1, 0, 1)),
    ],
)
def test_features_by_example(feature: str, text: str, expected: Sequence[float]) -> None:
    assert tuple(text_features(text)[feature]) == expected


def test_an_opening_bracket_without_a_closing_one_is_forgotten() -> None:
    depths = text_features("(" + "a" * 1200)["depth of brackets"]
    assert (depths[999], depths[1000]) == (1, 0)


@given(st.text(max_size=40), st.text(max_size=40))
def test_features_depend_on_the_past_only_and_bytes_have_those_of_their_character(
    text: str, rest: str
) -> None:
    whole = text_features(text + rest)
    for name, values in text_features(text).items():
        np.testing.assert_array_equal(values, whole[name][: len(text)])
    content = text.encode("utf-8", "replace")
    of_bytes = text_features(content.decode("latin-1"), as_bytes=True)
    lengths = [len(c.encode()) for c in content.decode()]
    for name, values in text_features(content.decode()).items():
        np.testing.assert_array_equal(np.repeat(values, lengths), of_bytes[name])
    assert set(of_bytes) == set(FEATURES)


def test_bytes_that_are_no_utf_8_have_a_value_each() -> None:
    assert text_features("\xff\xe9A", as_bytes=True)["capital letter"].tolist() == [0, 0, 1]


def test_a_feature_is_followed_above_both_controls_and_by_enough() -> None:
    def found(r: float, shifted: float, untrained: float | None) -> bool:
        return FollowedFeature("x", (UnitCorrelation(0, 0, r),), shifted, untrained).followed

    assert found(-0.5, 0.4, 0.4)
    assert found(0.5, 0.4, None)
    assert not found(0.5, 0.5, 0.4)
    assert not found(-0.5, 0.4, 0.5)
    assert not found(MIN_CORRELATION - 0.01, 0.0, 0.0)


def test_a_span_needs_units_that_are_active_at_every_character_of_it() -> None:
    states = np.zeros((100, 3))
    states[20:25, 0] = states[60:65, 0] = 1  # high
    states[20:25, 1] = states[80:84, 1] = -1  # low
    states[22, 2] = 1
    found = span_activity({"layers.1.h": states}, 20, 25)
    assert {(unit.layer, unit.unit) for unit in found.units} == {(1, 0), (1, 1)}
    assert [unit.inside > 0 for unit in sorted(found.units, key=lambda u: u.unit)] == [True, False]
    first, second, *_ = found.places
    assert (first.begin, first.end, first.share) == (60, 65, 0.5)
    assert (second.begin <= 80, second.end >= 84, second.share) == (True, True, 0.4)
    assert span_activity({"layers.0.h": states}, 30, 35).units == ()
    for begin, end in ((5, 5), (-1, 3), (90, 101), (0, 100)):
        with pytest.raises(UsageError, match="is not a part of the 100 characters"):
            span_activity({"layers.0.h": states}, begin, end)
