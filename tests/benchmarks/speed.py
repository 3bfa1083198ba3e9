"""Training steps against PyTorch's, in turn: ratios, and the share of the sgemm peak.

    python -m tests.benchmarks.speed [--quick] [--json FILE] [--cells lstm] [--threads 1]
                                     [--backend numpy]

A step is forward, loss, backward, clip and update, float32, the state carried on. PyTorch takes the
fastest of embedding and one-hot input and of fused Adam and Adagrad; ours the faster of one worker
and as many as threads. Needs `pip install '.[bench]'` for the peer; without it ours runs alone.
"""

import math
from statistics import median

from charrnn.training.backends import default_backend
from charrnn.training_config import BACKENDS
from tests.benchmarks import ours
from tests.benchmarks.measuring import (
    blas_kernels,
    in_turn,
    options,
    sgemm,
    show,
    spread,
    torch_is_there,
    write_json,
)

V = 65
GRID = ((128, 1, 32, 50), (256, 1, 32, 64), (512, 1, 32, 64), (256, 2, 50, 50))
"""Units, layers, batch size, time steps."""


def main() -> None:
    """Measure the grid."""
    parser = options(__doc__)
    parser.add_argument("--cells", default="rnn,lstm,gru")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--backend", "--kernel", choices=BACKENDS, default=default_backend())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.7)
    asked = parser.parse_args()
    grid = GRID[:1] if asked.quick else GRID
    cells = asked.cells.split(",")[: 1 if asked.quick else None]
    rounds, seconds = (1, 0.1) if asked.quick else (asked.rounds, asked.seconds)
    print(f"OpenBLAS kernels: {blas_kernels()}", flush=True)
    rows, figures = [], []
    for threads in map(int, asked.threads.split(",")[: 1 if asked.quick else None]):
        for cell in cells:
            for H, layers, B, T in grid:
                arguments = (cell, V, H, layers, B, T, threads)
                rivals = {
                    "ours": (ours.training, *arguments, asked.backend),
                    "sgemm": (sgemm, threads),
                }
                if torch_is_there():
                    from tests.benchmarks import peers

                    rivals["torch"] = (peers.training, *arguments)
                rates = in_turn(rivals, rounds, seconds)
                work = ours.operations(cell, V, H, layers)
                share = median(work * ratio for ratio in rates.ratios("ours", "sgemm"))
                size = f"{layers} × {H}, {B} × {T}"
                row = [f"{cell} {size}", f"{threads}", f"{rates.middle('ours') / 1000:.1f}"]
                found = {"cell": cell, "size": size, "threads": threads, "share_of_peak": share}
                found["ours_chars_per_second"] = rates.middle("ours")
                if "torch" in rivals:
                    ratios = rates.ratios("ours", "torch")
                    row += [f"{rates.middle('torch') / 1000:.1f}", spread(ratios)]
                    found["ratio"] = median(ratios)
                else:
                    row += ["-", "-"]
                rows.append([*row, f"{share:.0%}"])
                figures.append(found)
                print(*rows[-1], sep="  ", flush=True)
    print()
    columns = ("step", "threads", "ours, k chars/s", "torch", "ratio", "of sgemm peak")
    show(columns, rows)
    known = [float(found["ratio"]) for found in figures if "ratio" in found]
    if known:
        mean = math.exp(sum(map(math.log, known)) / len(known))
        print(f"geometric mean of the ratios {mean:.2f}, the smallest {min(known):.2f}")
    write_json(asked.json, figures)


if __name__ == "__main__":
    main()
