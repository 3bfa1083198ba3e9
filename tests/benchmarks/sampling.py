"""Sampling: one LSTM stream of 128 units, against PyTorch's loop, and against 64 at once.

    python -m tests.benchmarks.sampling [--quick] [--json FILE]

One thread; characters a second of drawing ids at temperature 0.8.
"""

from tests.benchmarks import ours
from tests.benchmarks.measuring import in_turn, options, show, spread, torch_is_there, write_json

V, H, MANY = 65, 128, 64


def main() -> None:
    """Measure the three loops."""
    asked = options(__doc__).parse_args()
    rivals = {"one": (ours.sampling, V, H, 1), "many": (ours.sampling, V, H, MANY)}
    if torch_is_there():
        from tests.benchmarks import peers

        rivals["torch"] = (peers.sampling, V, H, 1)
    rates = in_turn(rivals, *((1, 0.1) if asked.quick else (9, 1.0)))
    names = {"one": "ours, one stream", "many": f"ours, {MANY} at once", "torch": "PyTorch, one"}
    rows = [
        [names[name], f"{rates.middle(name):,.0f}", spread(rates.ratios(name, "one"))]
        for name in rivals
    ]
    show(("sampling", "characters/s", "of one stream of ours"), rows)
    write_json(asked.json, {name: rates.middle(name) for name in rivals})


if __name__ == "__main__":
    main()
