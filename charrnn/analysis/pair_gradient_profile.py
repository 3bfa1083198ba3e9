"""Gradient profile of pairs: how much of the loss of one answer symbol reaches earlier states.

As in `gradient_profile`, but within examples: the loss is that of the label of a many-to-one
example, and that of one target symbol drawn at random in the other layouts. Examples begin from the
zero state, so there is no burn-in. Only examples with enough characters before that symbol are
used. Models whose cells read from both ends are measured by `bidirectional_profile`.
"""

import numpy as np

from charrnn.analysis.bidirectional_profile import bidirectional_profile, lags_within
from charrnn.analysis.gradient_profile import GradientProfile, measure_gradients, summarise
from charrnn.analysis.layer_backprop import forward_layers
from charrnn.data.pair_batches import Examples
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters
from charrnn.types import Ids

LAG_QUANTILE = 0.25
"""The largest lag is this quantile of the characters before the target: most examples have them."""


def pair_gradient_profile(
    config: ModelConfig,
    parameters: Parameters,
    examples: Examples,
    *,
    lags: int,
    windows: int,
    seed: int = 0,
) -> GradientProfile:
    """Measure the gradient profile from one target in each of up to `windows` examples.

    Args:
        config: the network.
        parameters: its weights; they are not changed.
        examples: the pairs, each with at least one target.
        lags: characters to follow the gradient back; fewer where examples are short, as the notes
            say.
        windows: examples to use at most.
        seed: chooses the examples and their targets.
    """
    rng = np.random.default_rng(seed)
    target = np.array([rng.choice(_target_positions(examples, n)) for n in range(len(examples))])
    room = target if config.bidirectional is None else lags_within(config, examples, target)
    K = max(1, min(lags, int(np.quantile(room, LAG_QUANTILE, method="lower"))))
    able = np.flatnonzero(room >= min(K, room.max()))
    chosen = np.sort(rng.permutation(able)[:windows])
    K = min(K, int(room[chosen].min()))
    notes = []
    if lags > K:
        notes.append(f"the gradient is followed for {K} of {lags} lags, as far as examples reach")
    parameters = parameters.astype(np.float64)
    if config.bidirectional is not None:
        with np.errstate(all="ignore"):
            return bidirectional_profile(
                config, parameters, examples, chosen, target[chosen], K, seed=seed, notes=notes
            )
    parts = []
    with np.errstate(all="ignore"):  # numbers that are not finite are reported instead
        for position in np.unique(target[chosen]):
            rows = chosen[target[chosen] == position]
            T = int(position) + 1
            inputs, targets, _ = examples.padded(rows, T)
            network = Network(config, parameters, T, len(rows), parameters.like())
            forward_layers(network, inputs)
            parts.append(measure_gradients(network, np.array([T]), targets[-1:], K))
    nats = np.concatenate([part[0] for part in parts])
    logs = np.concatenate([part[1] for part in parts], axis=2)
    return summarise(config, parameters, nats, logs, seed, tuple(notes))


def _target_positions(examples: Examples, number: int) -> Ids:
    """Return the positions of one example's targets, from 0 at its first character."""
    scored = examples.target_mask[examples.starts[number] : examples.starts[number + 1]]
    return np.flatnonzero(scored)
