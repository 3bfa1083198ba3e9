"""How much of an answer's loss reaches the state k characters earlier, inside examples.

As in `gradients`, with a guess of an example in the place of a character of a text: the label of
many-to-one, a symbol drawn at random elsewhere. Examples begin from zero, so nothing settles first,
and only those are looked at in which the guess has enough characters before it.
"""

import numpy as np

from charrnn.analysis.gradient_profile import (
    GradientProfile,
    finite_or_none,
    loss_gradient,
    nonfinite_names,
    summarise_state,
)
from charrnn.analysis.layer_backprop import LayerBackprop, forward_layers
from charrnn.data.pair_batches import Examples
from charrnn.nn.cells import CELLS
from charrnn.nn.network import ModelConfig, Network
from charrnn.nn.parameters import Parameters
from charrnn.types import Ids

LAG_QUANTILE = 0.25
"""Lags go up to this quantile of what lies before a guess: most examples reach so far."""


def pair_gradient_profile(
    config: ModelConfig,
    parameters: Parameters,
    examples: Examples,
    *,
    lags: int,
    windows: int,
    seed: int = 0,
) -> GradientProfile:
    """Follow the gradient back from one guess in each of up to `windows` examples."""
    rng = np.random.default_rng(seed)
    guess = np.array(
        [rng.choice(np.flatnonzero(_scored(examples, n))) for n in range(len(examples))]
    )
    K = max(1, min(lags, int(np.quantile(guess, LAG_QUANTILE, method="lower"))))
    able = np.flatnonzero(guess >= min(K, guess.max()))
    chosen = np.sort(rng.permutation(able)[:windows])
    K = min(K, int(guess[chosen].min()))
    parameters = parameters.astype(np.float64)
    names = [
        (n, state) for n in range(config.layers) for state in CELLS[config.cell].reported_states()
    ]
    nats, logs = [], []
    with np.errstate(all="ignore"):  # what is not finite is found and named
        for position in np.unique(guess[chosen]):
            same = chosen[guess[chosen] == position]
            T = int(position) + 1
            inputs, targets, _ = examples.padded(same, T)
            network = Network(config, parameters, T, len(same), parameters.like())
            forward_layers(network, inputs)
            backprop = LayerBackprop(network.layers)
            loss, dh = loss_gradient(parameters, network.layers[-1].h[-1], targets[-1])
            backprop.begin(dh)
            nats.append(loss)
            logs.append(np.array([backprop.step_back_with_norms(T - 1 - k) for k in range(K + 1)]))
        joined = np.concatenate(logs, axis=2)
        lines = tuple(summarise_state(*name, joined[:, n]) for n, name in enumerate(names))
    notes = []
    if lags > K:
        notes.append(f"the gradient is followed for {K} of {lags} lags, as far as examples reach")
    mean = finite_or_none(np.concatenate(nats).mean())
    return GradientProfile(
        K, len(chosen), seed, mean, lines, nonfinite_names(parameters), tuple(notes)
    )


def _scored(examples: Examples, number: int) -> Ids:
    scored: Ids = examples.scored[examples.starts[number] : examples.starts[number + 1]]
    return scored
