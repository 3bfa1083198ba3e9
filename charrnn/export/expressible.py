"""Checks that a file format can express a network: its cell, and its options."""

from collections.abc import Collection
from dataclasses import fields
from typing import Any

from charrnn.errors import UsageError
from charrnn.limits import format_value, option_name
from charrnn.nn.model_config import ModelConfig

GATES: dict[str, tuple[str, ...]] = {
    "rnn": ("h",),
    "lstm": ("i", "f", "o", "g"),
    "mlstm": ("i", "f", "o", "g"),
    "gru": ("r", "z", "n"),
}
"""The cells of which PyTorch, ONNX and the web page have a form, and the order of gates here."""

NO_EFFECT = {
    *("inputs", "outputs", "cell", "hidden", "layers"),  # these are in the shapes
    *("dropout", "recurrent_dropout"),  # only in training
    *("init", "gain", "input_init", "input_gain", "readout_init", "forget_bias"),  # only at first
}
"""Fields of `ModelConfig` that need no form of their own: the weights say all of them."""


def require_expressible(
    config: ModelConfig,
    target: str,
    backward_uses: Collection[str] = (),
    *,
    with_attention: bool = False,
) -> None:
    """Raise `UsageError` for a network whose outputs a target would not compute.

    Args:
        config: the network.
        target: the name of the target, for the message.
        backward_uses: the values of `bidirectional` that the target has a form of.
        with_attention: whether it has a form of attention.

    Any other field of `ModelConfig` that is not in `NO_EFFECT` must have its default value.

    Example:
        >>> require_expressible(ModelConfig(65, 65, cell="gru", layers=2), "ONNX")
    """
    if config.cell not in GATES:
        known = ", ".join(GATES)
        raise UsageError(
            f"{target} has no form of the cell {format_value(config.cell)}; it has {known}",
            "a model of one of these",
        )
    if config.cell == "mlstm" and config.bidirectional is not None:
        raise UsageError(
            f"{target} has no form of a bidirectional mlstm",
            "a model trained with --no-bidirectional",
            "a model trained with --cell lstm",
        )
    for field in fields(config):
        value: Any = getattr(config, field.name)
        if field.name == "bidirectional" and value in backward_uses:
            continue
        if field.name == "attention" and with_attention:
            continue
        if field.name not in NO_EFFECT and value != field.default:
            raise UsageError(
                f"{target} has no form of {option_name(field.name)}", "a model trained without it"
            )
