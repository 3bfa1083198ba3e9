"""Web page of a model: one HTML file that samples without a network connection.

The page consists of the files in `page`: its text, its style and its program in plain JavaScript,
which has the weights as base64. A content security policy forbids it every connection.
"""

import base64
import html
import json
from importlib.resources import files
from typing import Any

from charrnn.checkpointing.records import Checkpoint
from charrnn.export.expressible import require_expressible
from charrnn.export.quantisation import Quantised, Stored
from charrnn.types import JSON


def require_page(checkpoint: Checkpoint) -> None:
    """Raise `UsageError` for a model of pairs, or one that the page cannot compute."""
    _ = checkpoint.vocabulary
    require_expressible(checkpoint.config, "the web page")


def web_page(checkpoint: Checkpoint, quantised: Quantised, measured_on: str) -> str:
    """Return the page of a model, ASCII apart from the name of its corpus.

    Args:
        checkpoint: the model.
        quantised: its weights.
        measured_on: the text on which the losses of `quantised` were measured, in a few words.

    Raises `UsageError` for a model of pairs, and for a network that the page cannot compute.
    """
    require_page(checkpoint)
    config, record = checkpoint.config, checkpoint.corpus
    name = record.name if record.characters else record.imported or record.name
    facts = (
        f"{config.layers} × {config.hidden} {config.cell}, {config.size:,} weights as "
        f"{quantised.precision}; loss {quantised.nats[quantised.precision]:.4f} nats per "
        f"{'byte' if checkpoint.vocabulary.as_bytes else 'character'}, "
        f"{quantised.nats['float32']:.4f} without rounding, on {measured_on}"
    )
    return _fill(
        _read("page.html"),
        {
            "NAME": html.escape(name),
            "FACTS": html.escape(facts),
            "STYLE": _read("page.css"),
            "MODEL": script_json(model_json(checkpoint, quantised)),
            "PROGRAM": _read("network.js") + _read("page.js"),
        },
    )


def model_json(checkpoint: Checkpoint, quantised: Quantised) -> dict[str, Any]:
    """Return the model as JSON values, as `network.js` reads them."""
    config = checkpoint.config
    vocabulary = checkpoint.vocabulary
    normalise = None if vocabulary.as_bytes else checkpoint.corpus.normalise
    return {
        "cell": config.cell,
        "hidden": config.hidden,
        "layers": config.layers,
        "characters": list(vocabulary.characters),
        "as_bytes": vocabulary.as_bytes,
        "normalise": normalise and normalise.upper(),
        "arrays": {name: stored_json(stored) for name, stored in quantised.arrays.items()},
    }


def stored_json(stored: Stored) -> dict[str, JSON]:
    """Return a stored array as JSON values: type, shape, and little-endian bytes in base64."""
    found: dict[str, JSON] = {
        "type": str(stored.values.dtype),
        "shape": list(stored.values.shape),
        "data": _base64(stored.values.astype(stored.values.dtype.newbyteorder("<")).tobytes()),
    }
    if stored.scale is not None:
        found["scale"] = _base64(stored.scale.astype("<f4").tobytes())
    return found


def script_json(value: JSON) -> str:
    """Return JSON that can stand inside a script element: ASCII without `<`.

    Example:
        >>> script_json({"characters": "</script>"})
        '{"characters": "\\\\u003c/script>"}'
    """
    return json.dumps(value).replace("<", "\\u003c")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _read(name: str) -> str:
    return files("charrnn.export").joinpath("page", name).read_text(encoding="utf-8")


def _fill(template: str, parts: dict[str, str]) -> str:
    """Replace each `{{NAME}}` of a template once; what is put in is not looked at again."""
    pieces = template.split("{{")
    filled = [pieces[0]]
    for piece in pieces[1:]:
        name, _, rest = piece.partition("}}")
        filled += [parts[name], rest]
    return "".join(filled)
