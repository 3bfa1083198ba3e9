"""Files of mixtures: what is written is read; what is wrong is named in one line."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.checkpointing.checkpoint import load_checkpoint, save_checkpoint
from charrnn.checkpointing.mixture_file import MAX_MEMBERS, load_any, save_mixture
from charrnn.checkpointing.npz_file import read_archive, write_archive
from charrnn.checkpointing.records import Checkpoint, CorpusRecord, MixtureRecord, NgramRecord
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import CheckpointError, UsageError
from charrnn.limits import MAX_NGRAM_CHARACTERS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.types import Array

VOCABULARY = Vocabulary("abc")
PAGE = Path(__file__).parents[2] / "docs" / "checkpoint-format.md"


def network(seed: int, cell: str = "rnn") -> Checkpoint:
    config = ModelConfig(3, 3, cell=cell, hidden=2)
    parameters = initialise(config, np.random.default_rng(seed))
    record = CorpusRecord("text", "0" * 64, 9, 0.1)
    return Checkpoint(config, VOCABULARY, parameters, record, 5, {"nats_per_char": 1.5})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A mixture of two networks and 3-grams."""
    ngrams = NgramRecord(np.array([0, 1, 2, 1], np.uint8), 3, 0.5, 0.75, 0.25, 0.125, fitted=7)
    save_mixture(tmp_path / "m.npz", MixtureRecord((network(0), network(1, "gru")), ngrams))
    return tmp_path / "m.npz"


def test_what_is_written_is_read(path: Path) -> None:
    found = load_any(path)
    assert isinstance(found, MixtureRecord)
    assert found.title == "mixture of 2 networks and 3-grams"
    assert found.vocabulary == VOCABULARY
    for member, expected in zip(found.members, (network(0), network(1, "gru")), strict=True):
        assert np.array_equal(member.parameters.vector, expected.parameters.vector)
        assert (member.config, member.corpus) == (expected.config, expected.corpus)
        assert (member.step, member.validation) == (5, {"nats_per_char": 1.5})
        assert member.training is None
    assert found.ngrams is not None
    assert found.ngrams.ids.tolist() == [0, 1, 2, 1]
    assert found.ngrams.settings() == {
        "order": 3,
        "network_unmatched": 0.5,
        "network_matched": 0.75,
        "ngrams_unmatched": 0.25,
        "ngrams_matched": 0.125,
        "fitted": 7,
    }
    with np.load(path, allow_pickle=False) as archive:
        assert archive["ngrams.ids"].dtype == np.uint8


def test_a_single_network_is_read_too(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "one.npz", network(0))
    assert isinstance(load_any(tmp_path / "one.npz"), Checkpoint)


def test_where_one_network_is_needed_a_mixture_is_refused_by_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    with pytest.raises(UsageError) as caught:
        load_checkpoint(Path("m.npz"))
    assert str(caught.value) == (
        "'m.npz' is a mixture, and this needs a single network; "
        "try charrnn combine m.npz --member 1 --output one.npz"
    )


def test_every_key_and_array_is_on_the_page_of_the_format(path: Path) -> None:
    arrays, metadata = read_archive(path)
    named = set(re.findall(r"`([\w.-]+)`", PAGE.read_text(encoding="utf-8")))
    for keys in (metadata, metadata["members"][0], metadata["ngrams"]):
        assert set(keys) <= named
    for name in arrays:
        assert re.sub(r"members\.\d+\..*", "members.0.NAME", name) in named, name


Change = Callable[[dict[str, Array], dict[str, Any]], object]

FLAWS: list[tuple[str, Change, str]] = [
    ("no members", lambda _, m: m.update(members=[]), "members is not a list of 1 to 64"),
    ("text as members", lambda _, m: m.update(members="ab"), "members is not a list"),
    ("a number as member", lambda _, m: m["members"].append(3), "members.2 is not an object"),
    (
        "too many members",
        lambda _, m: m.update(members=m["members"] * MAX_MEMBERS),
        "members is not a list",
    ),
    ("a key of a member", lambda _, m: m["members"][1].pop("step"), "members.1.step is missing"),
    (
        "another size",
        lambda _, m: m["members"][1]["model"].update(hidden=3),
        "members.1: array 'layers.0.W_xh' is float32",
    ),
    (
        "a member's array",
        lambda a, _: a.pop("members.0.W_hy"),
        "members.0: array 'W_hy' is missing",
    ),
    (
        "an infinite weight",
        lambda a, _: a["members.0.W_hy"].fill(np.inf),
        "members.0: array 'W_hy' holds numbers that are not finite",
    ),
    (
        "another member's array",
        lambda a, _: a.update({"members.2.W_hy": a["members.0.W_hy"]}),
        "array 'members.2.W_hy' has no place in it",
    ),
    (
        "another normal form",
        lambda _, m: m["members"][0]["corpus"].update(normalise="nfc"),
        "different Unicode normal forms",
    ),
    ("a missing key", lambda _, m: m.pop("ngrams"), "ngrams is missing or unknown"),
    ("an unknown key", lambda _, m: m.update(more=1), "more is missing or unknown"),
    ("n-grams as text", lambda _, m: m.update(ngrams="8"), "ngrams is not an object"),
    ("no order", lambda _, m: m["ngrams"].pop("order"), "ngrams.order is missing"),
    ("order 0", lambda _, m: m["ngrams"].update(order=0), "ngrams.order is 0"),
    ("order 10⁹", lambda _, m: m["ngrams"].update(order=10**9), "ngrams.order is 1000000000"),
    ("a truth", lambda _, m: m["ngrams"].update(order=True), "ngrams.order has a value of the"),
    ("a fraction", lambda _, m: m["ngrams"].update(order=2.5), "ngrams.order has a value of the"),
    (
        "a large exponent",
        lambda _, m: m["ngrams"].update(network_matched=1e300),
        "ngrams.network_matched is 1e+300",
    ),
    ("a debt", lambda _, m: m["ngrams"].update(fitted=-1), "ngrams.fitted is -1"),
    ("no text", lambda a, _: a.pop("ngrams.ids"), "array 'ngrams.ids' is missing"),
    (
        "no characters",
        lambda a, _: a.update({"ngrams.ids": np.zeros(0, np.uint8)}),
        "array 'ngrams.ids' has 0 characters",
    ),
    (
        "too many characters",
        lambda a, _: a.update({"ngrams.ids": np.zeros(MAX_NGRAM_CHARACTERS + 1, np.uint8)}),
        "array 'ngrams.ids' has 4,000,001 characters",
    ),
    (
        "an unknown character",
        lambda a, _: a.update({"ngrams.ids": np.array([0, 3], np.uint8)}),
        "an id that is not in the vocabulary",
    ),
    (
        "another type",
        lambda a, _: a.update({"ngrams.ids": np.zeros(4, np.float32)}),
        "array 'ngrams.ids' is float32 (4,), not uint8 (N,)",
    ),
    (
        "another shape",
        lambda a, _: a.update({"ngrams.ids": np.zeros((2, 2), np.uint8)}),
        "array 'ngrams.ids' is uint8 (2, 2)",
    ),
    (
        "text without n-grams",
        lambda _, m: m.update(ngrams=None),
        "array 'ngrams.ids' has no place in it",
    ),
    ("a newer format", lambda _, m: m.update(format=4), "its format is 4, this charrnn reads up"),
]


@pytest.mark.parametrize(
    ("change", "message"), [flaw[1:] for flaw in FLAWS], ids=[flaw[0] for flaw in FLAWS]
)
def test_a_flaw_is_named_in_one_line(change: Change, message: str, path: Path) -> None:
    arrays, metadata = read_archive(path)
    change(arrays, metadata)
    write_archive(path, arrays, metadata)
    with pytest.raises(CheckpointError) as caught:
        load_any(path)
    line = str(caught.value)
    assert line.startswith("'m.npz' is no usable checkpoint: ")
    assert message in line
    assert len(line) <= 200
    assert line.isprintable()


def test_one_network_without_ngrams_is_no_mixture(path: Path) -> None:
    arrays, metadata = read_archive(path)
    metadata |= {"members": metadata["members"][:1], "ngrams": None}
    kept = {name: array for name, array in arrays.items() if name.startswith("members.0")}
    write_archive(path, kept, metadata)
    with pytest.raises(CheckpointError, match="it has one network and no n-grams"):
        load_any(path)


def test_a_changed_byte_is_found(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(b"ngrams.ids") + 300] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="does not match its checksum"):
        load_any(path)
