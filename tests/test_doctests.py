"""Examples in the docstrings of the package: each runs and gives what it shows."""

import doctest
import importlib
from pathlib import Path

import numpy as np
import pytest

import charrnn
from charrnn.checkpointing.checkpoint import save_checkpoint
from charrnn.checkpointing.records import Checkpoint, CorpusRecord
from charrnn.data.layouts import PairVocabulary
from charrnn.data.vocabulary import Vocabulary
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise

ROOT = Path(charrnn.__file__).parent
LETTERS = "\n 0123456789abcdefghijklmnopqrstuvwxyz-"
MODULES = [
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(ROOT.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]
PUBLIC = [name for name in charrnn.__all__ if name != "__version__"]


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs that examples load: checkpoints with random weights."""
    folder = tmp_path_factory.mktemp("doctests")
    record = CorpusRecord("corpus", "0" * 64, 0, 0.1)
    symbols: tuple[Vocabulary | PairVocabulary, ...] = (
        Vocabulary(LETTERS),
        PairVocabulary("many-to-many", tuple(LETTERS), tuple(LETTERS), 10),
    )
    for name, known in zip(("corpus", "dates"), symbols, strict=True):
        config = ModelConfig(known.inputs, known.outputs, hidden=8)
        parameters = initialise(config, np.random.default_rng(0))
        (folder / "checkpoints" / name).mkdir(parents=True)
        save_checkpoint(
            folder / "checkpoints" / name / "best.npz",
            Checkpoint(config, known, parameters, record, 0),
        )
    return folder


@pytest.mark.parametrize("module", MODULES)
def test_examples_give_what_they_show(
    module: str, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs)
    if module.endswith("numba_backend"):
        pytest.importorskip("numba")
    failed, attempted = doctest.testmod(importlib.import_module(module))
    assert attempted > 0
    assert failed == 0


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_an_example(name: str) -> None:
    assert doctest.DocTestFinder(recurse=False).find(getattr(charrnn, name))[0].examples
