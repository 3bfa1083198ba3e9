"""Gradient profile of training data of any kind: a text, or examples of pairs.

A further kind of data registers its function: `data_profile.register(Kind)(function)`.
"""

from functools import singledispatch

import numpy as np

from charrnn.analysis.gradient_profile import GradientProfile, gradient_profile
from charrnn.analysis.pair_gradient_profile import pair_gradient_profile
from charrnn.data.pair_batches import Examples
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.types import Ids

MAX_PROFILED_CHARACTERS = 1_000_000
"""Characters of the training data that positions of losses are chosen from."""


@singledispatch
def data_profile(
    data: object,
    config: ModelConfig,
    parameters: Parameters,
    *,
    lags: int,
    windows: int,
    seed: int = 0,
) -> GradientProfile:
    """Measure the gradient profile of a model on ids (N,) of a text, or on `Examples`.

    Args:
        data: the ids or examples.
        config: the network.
        parameters: its weights; they are not changed.
        lags: characters to follow the gradient back.
        windows: number of losses.
        seed: chooses their positions.

    Raises TypeError for data without a registered function.
    """
    raise TypeError(f"no gradient profile of {type(data).__name__}")


@data_profile.register(np.ndarray)
def _text_profile(
    data: Ids,
    config: ModelConfig,
    parameters: Parameters,
    *,
    lags: int,
    windows: int,
    seed: int = 0,
) -> GradientProfile:
    return gradient_profile(config, parameters, data, lags=lags, windows=windows, seed=seed)


@data_profile.register(Examples)
def _pair_profile(
    data: Examples,
    config: ModelConfig,
    parameters: Parameters,
    *,
    lags: int,
    windows: int,
    seed: int = 0,
) -> GradientProfile:
    return pair_gradient_profile(config, parameters, data, lags=lags, windows=windows, seed=seed)
