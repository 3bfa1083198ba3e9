"""Gradient profile of a dataset: of a text from positions in it, of pairs from its examples."""

from charrnn.analysis.gradient_profile import GradientProfile, gradient_profile
from charrnn.analysis.pair_gradient_profile import pair_gradient_profile
from charrnn.nn.network import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.training.dataset import LONGEST_VALIDATION, Dataset
from charrnn.training.pair_dataset import PairDataset
from charrnn.training.text_dataset import TextDataset

MAX_PROFILED_CHARACTERS = 1_000_000
"""Characters from which the places are chosen that the gradient is followed back from."""


def dataset_profile(
    dataset: Dataset,
    config: ModelConfig,
    parameters: Parameters,
    *,
    lags: int,
    windows: int,
    seed: int = 0,
) -> GradientProfile:
    """Follow the gradient back from guesses in what is trained on."""
    if isinstance(dataset, PairDataset):
        examples = dataset.train.first(LONGEST_VALIDATION)
        return pair_gradient_profile(
            config, parameters, examples, lags=lags, windows=windows, seed=seed
        )
    if isinstance(dataset, TextDataset):
        text = dataset.train[:MAX_PROFILED_CHARACTERS]
        return gradient_profile(config, parameters, text, lags=lags, windows=windows, seed=seed)
    raise TypeError(f"no gradient profile of a {type(dataset).__name__}")
