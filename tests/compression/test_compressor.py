"""Compression: there and back for every text, one file on every machine, damage is an error."""

import hashlib
import io
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn import load
from charrnn.checkpointing.records import Checkpoint, CorpusRecord
from charrnn.compression.coding_model import CodingModel, frequencies, model_hash
from charrnn.compression.compressor import CodeLength, compressed, decompressed, read_header
from charrnn.compression.file_header import DIGEST_BYTES, FIXED, MAGIC, Division, Header
from charrnn.compression.text_codec import measure
from charrnn.data.decoding import TextOptions
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import CheckpointError, StorageError, TextError
from charrnn.inference.ensemble import Ensemble
from charrnn.inference.model import Model
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from tests.compression.golden.make_golden import CONTENT, FILES, FOLDER

CHARACTERS = "abcde \r\n\té\u0301日\U0001f600\ufeff\0"
TEXT = "abc abd\r\nace é日 dead\n" * 300
SMALL = Division(streams=4, stream_characters=8, block_characters=50)


def make(
    cell: str = "lstm",
    characters: str = CHARACTERS,
    as_bytes: bool = False,
    layers: int = 1,
    seed: int = 1,
    scale: float = 2.0,
) -> Model:
    vocabulary = Vocabulary(characters, as_bytes)
    V = len(vocabulary)
    config = ModelConfig(V, V, cell, hidden=7, layers=layers, init="normal:0.6")
    parameters = initialise(config, np.random.default_rng(seed))
    parameters.vector *= scale
    return Model(Checkpoint(config, vocabulary, parameters, CorpusRecord("x", "0" * 64, 0, 0.1), 0))


def make_coders(scale: float) -> dict[str, CodingModel]:
    """Return one model of each kind; a larger scale makes probabilities less even."""
    return {cell: CodingModel([make(cell, scale=scale)]) for cell in CELLS} | {
        "layers": CodingModel([make("gru", layers=3, scale=scale)]),
        "bytes": CodingModel([make("gru", BYTES, as_bytes=True, scale=scale)]),
        "ensemble": CodingModel(
            [make(cell, seed=seed, scale=scale) for seed, cell in enumerate(CELLS)]
        ),
    }


BYTES = "".join(map(chr, range(256)))
CODERS = make_coders(2.0)


def pack(
    content: bytes,
    model: CodingModel,
    encoding: str = "utf-8",
    division: Division | None = None,
    length: CodeLength | None = None,
) -> bytes:
    options = TextOptions(encoding, model.vocabulary.as_bytes)
    file = io.BytesIO(content)
    measured = measure(file, "file", model.vocabulary, options)
    length = length or CodeLength()
    return b"".join(compressed(file, "file", measured, model, length, division=division))


def unpack(packed: bytes, model: CodingModel) -> bytes:
    file = io.BytesIO(packed)
    header = read_header(file, "file")
    return b"".join(decompressed(file, "file", header, model))


@given(
    st.sampled_from([name for name in CODERS if name != "bytes"]),
    st.text(CHARACTERS, max_size=170),
    st.sampled_from(["utf-8", "utf-16", "utf-16-be", "utf-32", "gb18030", "utf-8-sig"]),
)
@settings(max_examples=60)
def test_every_text_of_the_vocabulary_is_restored(name: str, text: str, encoding: str) -> None:
    content = text.encode(encoding)
    try:
        packed = pack(content, CODERS[name], encoding, SMALL)
    except TextError as error:  # a NUL beside a short text looks like another encoding
        assert "looks like" in str(error) or "contradicts" in str(error)  # noqa: PT017
        return
    assert unpack(packed, CODERS[name]) == content


@given(st.binary(max_size=170))
@settings(max_examples=20)
def test_every_sequence_of_bytes_is_restored_by_a_model_of_bytes(content: bytes) -> None:
    assert unpack(pack(content, CODERS["bytes"], division=SMALL), CODERS["bytes"]) == content


@pytest.mark.parametrize("length", [0, 1, 7, 8, 31, 32, 49, 50, 51, 99, 100, 101, 8191, 8192])
def test_lengths_about_those_of_streams_and_blocks(length: int) -> None:
    content = ("abcde"[length % 3 :] * 2000)[:length].encode()
    for division in (SMALL, None):
        assert unpack(pack(content, CODERS["gru"], division=division), CODERS["gru"]) == content


@pytest.mark.parametrize("name", CODERS)
def test_the_length_is_within_1_percent_of_the_loss_of_the_model(name: str) -> None:
    model, length = make_coders(1.0)[name], CodeLength()
    content = (TEXT * 4).encode()
    packed = pack(content, model, length=length)
    ids = model.vocabulary.encode(content.decode("latin-1") if name == "bytes" else TEXT * 4)
    if len(model.members) > 1:
        score = Ensemble(model.members).score(ids)
        loss = score.whole.bits_per_char
        for bits, member in zip(length.member_bits, score.members, strict=True):
            assert bits / len(ids) == pytest.approx(member.bits_per_char, rel=0.01)
    else:
        loss = model.members[0].score(ids).bits_per_char
        assert length.member_bits == []
    assert length.bits / len(ids) == pytest.approx(loss, rel=0.01)
    assert length.written == len(packed)
    overhead = len(Header.read(io.BytesIO(packed), "file").pack()) + DIGEST_BYTES
    assert -8 < 8 * (len(packed) - overhead) - length.bits < 16
    assert overhead < 400


def test_how_many_sequences_are_computed_at_a_time_changes_nothing() -> None:
    model = CODERS["ensemble"]
    ids = np.random.default_rng(1).integers(0, len(model.vocabulary), (30, 8))
    model.begin(8)
    together = [frequencies(model.shares(row)) for row in ids]
    for b in range(8):
        model.begin(1)
        for row, expected in zip(ids, together, strict=True):
            assert (frequencies(model.shares(row[b : b + 1]))[0] == expected[b]).all()


def test_the_files_for_one_character_in_an_ensemble_have_the_mean_of_its_members() -> None:
    shares = CODERS["ensemble"].shares
    CODERS["ensemble"].begin(1)
    found = shares(np.array([3]))
    assert found.shape == (len(CELLS), 1, len(CHARACTERS))
    assert (np.abs(found.sum(axis=-1) - 2**28) < len(CHARACTERS)).all()
    assert (frequencies(found)[0] == found[:, 0].sum(axis=0) + 1).all()


def damaged(packed: bytes) -> Iterable[bytes]:
    """Yield a file cut at every byte, and with every byte changed, removed or repeated."""
    for at in range(len(packed)):
        yield packed[:at]
        for change in (1, 0x80, 0xFF):
            yield packed[:at] + bytes([packed[at] ^ change]) + packed[at + 1 :]
        if packed[at : at + 1] != packed[at + 1 : at + 2]:  # else another one of the same
            yield packed[:at] + packed[at + 1 :]
            yield packed[:at] + packed[at : at + 1] + packed[at:]
    yield packed + b"\0"


def test_a_file_damaged_at_any_byte_is_an_error_and_no_other_text() -> None:
    model = CODERS["rnn"]
    content = b"\xef\xbb\xbf" + "abc dé\r\n".encode()
    packed = pack(content, model)
    assert unpack(packed, model) == content
    tried = 0
    for other in damaged(packed):
        with pytest.raises(TextError, match=r"truncated or altered|is no file of|is of version"):
            unpack(other, model)
        tried += 1
    assert tried > 5 * len(packed)


def sealed(body: bytes) -> bytes:
    """Return a file with the digest that belongs to it, as if it had been written so."""
    return body + hashlib.sha256(body).digest()


def test_a_damaged_file_with_a_right_digest_is_an_error_too() -> None:
    model = CODERS["gru"]
    content = TEXT[:200].encode()
    packed = pack(content, model)
    body = packed[:-DIGEST_BYTES]
    begin = len(Header.read(io.BytesIO(packed), "file").pack())
    for at in range(begin, len(body), 7):
        with pytest.raises(TextError, match="truncated or altered"):
            unpack(sealed(body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]), model)
    for cut in (begin, begin + 1, len(body) - 9):
        with pytest.raises(TextError, match="truncated or altered"):
            unpack(sealed(body[:cut]), model)


def test_a_header_of_impossible_sizes_is_refused_before_memory_is_taken() -> None:
    packed = pack(b"abc", CODERS["rnn"])
    at = len(MAGIC) + 2 + 1 + DIGEST_BYTES + 8
    for numbers in ((2**32 - 1, 8, 50), (4, 8, 2**32 - 1), (0, 8, 50), (4, 3, 50), (4, 8, 0)):
        altered = FIXED.pack(*numbers, 3, 3)
        body = packed[:at] + altered + packed[at + FIXED.size : -DIGEST_BYTES]
        with pytest.raises(TextError, match="truncated or altered"):
            unpack(sealed(body), CODERS["rnn"])
    endless = FIXED.pack(4, 8, 50, 2**60, 3)
    body = packed[:at] + endless + packed[at + FIXED.size : -DIGEST_BYTES]
    with pytest.raises(TextError, match="truncated or altered"):
        unpack(sealed(body), CODERS["rnn"])


def test_another_model_is_refused() -> None:
    packed = pack(b"abc", CODERS["rnn"])
    for other in (CODERS["gru"], CodingModel([make("rnn", seed=2)]), CODERS["ensemble"]):
        with pytest.raises(CheckpointError, match="another model"):
            unpack(packed, other)


def test_the_order_of_an_ensemble_is_part_of_the_file() -> None:
    one, two = make("lstm"), make("gru", seed=2)
    packed = pack(b"abc", CodingModel([one, two]))
    assert unpack(packed, CodingModel([one, two])) == b"abc"
    with pytest.raises(CheckpointError):
        unpack(packed, CodingModel([two, one]))


def test_the_hash_of_a_model_is_that_of_what_it_computes_with() -> None:
    model = make()
    assert model_hash(model) == model_hash(make())
    others = [make("gru"), make(seed=2), make(layers=2), make(characters=CHARACTERS[::-1])]
    changed = make()
    changed.parameters["b_y"][0] += np.float32(1e-6)
    hashes = {model_hash(other) for other in (*others, changed)}
    assert len(hashes | {model_hash(model)}) == 6


def test_a_machine_with_other_numbers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = pack(b"abc", CODERS["rnn"])
    from charrnn.compression import fixed_point

    table = fixed_point.tanh_table() + 300
    monkeypatch.setattr(fixed_point, "tanh_table", lambda: table)
    with pytest.raises(StorageError, match="computes other frequencies"):
        unpack(packed, CodingModel([make("rnn")]))


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (b"abcX", "utf-8", r"lacks 'X' U\+0058, first at position 3"),
        (b"ab\xff", "utf-8", r"not UTF-8 \(byte 0xff at offset 2, line 1\)"),
        (b"a\n\xc3", "utf-8", r"not UTF-8 \(byte 0xc3 at offset 2, line 2\)"),
        ("abc".encode("utf-16"), "utf-8", "not UTF-8"),
        ("\ufeffabc".encode("utf-16-le"), "cp1252", "contradicts the encoding"),
        (b"a+AGE-b", "utf-7", "cannot be restored exactly from its characters in UTF-7"),
    ],
)
def test_what_cannot_be_restored_is_refused(content: bytes, encoding: str, message: str) -> None:
    with pytest.raises(TextError, match=message):
        pack(content, CODERS["rnn"], encoding)


def test_a_position_counts_from_the_beginning_of_the_file() -> None:
    content = b"ab" * 2**20 + b"X"
    with pytest.raises(TextError, match="first at position 2,097,152"):
        pack(content, CODERS["rnn"])


def test_bytes_that_a_model_of_bytes_does_not_know_are_named() -> None:
    model = CodingModel([make("rnn", "ab", as_bytes=True)])
    assert unpack(pack(b"abba", model), model) == b"abba"
    with pytest.raises(TextError, match="lacks byte 0xC3, first at position 1"):
        pack(b"a\xc3", model)


def test_a_file_that_changes_while_it_is_compressed_is_an_error() -> None:
    model, file = CODERS["rnn"], io.BytesIO(b"abcde")
    measured = measure(file, "file", model.vocabulary, TextOptions())
    for content in (b"abcda", b"abcdX", b"abc\xff", b"abc"):
        with pytest.raises(StorageError, match="changed while it was read"):
            list(compressed(io.BytesIO(content), "file", measured, model, CodeLength()))


@pytest.mark.parametrize("name", FILES)
def test_a_golden_file_is_the_known_text(name: str) -> None:
    models = [load(FOLDER / f"{cell}.npz") for cell in FILES[name]]
    packed = (FOLDER / name).read_bytes()
    assert unpack(packed, CodingModel(models)) == CONTENT
    header = Header.read(io.BytesIO(packed), "file")
    assert pack(CONTENT, CodingModel(models), division=header.division) == packed
    committed = [*FOLDER.glob("*.npz"), *FOLDER.glob("*.charrnn")]
    assert sum(path.stat().st_size for path in committed) <= 15_360


def test_memory_does_not_grow_with_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charrnn.compression.text_codec.READ_CHUNK_BYTES", 1024)
    monkeypatch.setattr("charrnn.compression.range_coder.CHUNK_BYTES", 1024)
    division, model = Division(8, 100, 2000), CODERS["rnn"]
    peaks = []
    for repeats in (20, 100):
        content = ("abc abd\r\nace dead\n" * 11 * repeats).encode()
        file, packed = io.BytesIO(content), pack(content, model, division=division)
        measured = measure(file, "file", model.vocabulary, TextOptions())
        code = io.BytesIO(packed)
        header = read_header(code, "file")
        tracemalloc.start()
        try:
            for _ in compressed(file, "file", measured, model, CodeLength(), division=division):
                pass
            for _ in decompressed(code, "file", header, model):
                pass
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert len(content) > 3 * division.block_characters
    assert peaks[1] < peaks[0] + 5_000  # a file of five times the size


MACHINES = {
    "an old processor": {"OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3"},
    "AVX2": {"OPENBLAS_CORETYPE": "Haswell"},
    "AVX-512": {"OPENBLAS_CORETYPE": "SkylakeX"},
    "two threads": {"OPENBLAS_NUM_THREADS": "2"},
}
PRINT_FILE = """
import hashlib, io, sys
import numpy as np
from tests.compression.test_compressor import TEXT, CodingModel, make, pack
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network, initialise
model = make("lstm", layers=2)
print(hashlib.sha256(pack(TEXT.encode(), CodingModel([model]))).hexdigest())
config = ModelConfig(9, 9, hidden=200)
parameters = initialise(config, np.random.default_rng(0))
network = Network(config, parameters, 50, 7)
logits = network.forward(np.random.default_rng(1).integers(0, 9, (50, 7)))
print(hashlib.sha256(logits.tobytes()).hexdigest())
"""


def lines_of(environment: dict[str, str]) -> list[str]:
    """Return the SHA-256 of a compressed file and of float32 logits on another kind of machine."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PRINT_FILE],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.slow
def test_the_file_is_the_same_on_processors_whose_float32_results_differ() -> None:
    here = lines_of({})
    others = {name: lines_of(environment) for name, environment in MACHINES.items()}
    assert {lines[0] for lines in others.values()} == {here[0]}
    if not any(lines[1] != here[1] for lines in others.values()):
        pytest.skip("all of these compute the same float32 results here")
