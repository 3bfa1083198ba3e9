"""Files of earlier versions: every one of them is read by this version.

`fixtures` has what the package wrote at four times: models of a text from the first commit that
saved any and from before `--on-nonfinite`, and models of pairs from the first of them and from
before `--on-nonfinite`. No file there is ever replaced; a change of the format adds one.
"""

from pathlib import Path

import numpy as np
import pytest

from charrnn.checkpointing.checkpoint import FORMAT, PAIR_FORMAT, load_checkpoint, save_checkpoint
from charrnn.inference.model import Model
from charrnn.inference.predictor import Predictor

FIXTURES = Path(__file__).parent / "fixtures"
MAX_BYTES = 20_000


@pytest.mark.parametrize("name", ["first-text", "text", "first-pairs", "pairs"])
def test_every_earlier_file_is_read_used_and_written_again(name: str, tmp_path: Path) -> None:
    path = FIXTURES / f"{name}.npz"
    assert path.stat().st_size <= MAX_BYTES
    loaded = load_checkpoint(path)
    assert loaded.step == 6
    assert loaded.training is not None
    assert loaded.training.config.steps == 6
    assert loaded.symbols.format_version == (PAIR_FORMAT if "pairs" in name else FORMAT)
    if loaded.symbols.of_pairs:
        assert Predictor.of(loaded).answer(["ab"])[0].text in ("x", "y")
    else:
        assert len("".join(Model(loaded).generate("The cat", length=20))) == 20
    save_checkpoint(tmp_path / "again.npz", loaded)
    again = load_checkpoint(tmp_path / "again.npz")
    assert np.array_equal(again.parameters.vector, loaded.parameters.vector)
    assert again.training is not None
    assert again.training.progress == loaded.training.progress


def test_no_earlier_file_is_left_out() -> None:
    assert len(list(FIXTURES.glob("*.npz"))) == 4
