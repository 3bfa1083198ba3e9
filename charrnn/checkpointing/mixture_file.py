"""Files of mixtures: several networks of one vocabulary, and the text whose n-grams are counted.

    metadata                  as of a checkpoint: format 3, charrnn, vocabulary, members, ngrams
    members.0.layers.0.W_xh … the parameters of each network, without training state
    ngrams.ids                the counted text as ids, in the smallest type for the vocabulary

The counts are not stored: they are made from the text when they are first needed, which takes about
a second for a million characters, while a table of 8-grams is some fifteen times as large as the
text. A file with n-grams therefore contains the text.
"""

from pathlib import Path
from typing import Any

from charrnn import __version__
from charrnn.checkpointing.checkpoint import (
    MIXTURE_FORMAT,
    as_json,
    naming_file,
    parse_checkpoint,
)
from charrnn.checkpointing.checkpoint_checks import check_names, check_settings, check_version
from charrnn.checkpointing.npz_file import read_archive, write_archive
from charrnn.checkpointing.records import Checkpoint, MixtureRecord, NgramRecord
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import CheckpointError
from charrnn.limits import EXPONENT, MAX_COUNT, MAX_NGRAM_CHARACTERS, NGRAM_ORDER, Limits
from charrnn.types import JSON, Array

MAX_MEMBERS = 64
"""Most networks of a mixture."""

KEYS = ("format", "charrnn", "vocabulary", "members", "ngrams")
MEMBER_KEYS = ("step", "model", "corpus", "validation")
NGRAM_LIMITS = {
    "order": NGRAM_ORDER,
    "network_unmatched": EXPONENT,
    "network_matched": EXPONENT,
    "ngrams_unmatched": EXPONENT,
    "ngrams_matched": EXPONENT,
    "fitted": Limits(0, MAX_COUNT, 0),
}
"""Fields of `ngrams`."""


def save_mixture(path: Path, mixture: MixtureRecord) -> None:
    """Write a mixture atomically. Raises `StorageError` if that fails; the old file is then kept.

    Args:
        path: the file, which is replaced.
        mixture: its contents.
    """
    arrays: dict[str, Array] = {}
    members: list[JSON] = []
    for number, member in enumerate(mixture.members):
        arrays |= {f"members.{number}.{name}": part for name, part in member.parameters.items()}
        members.append(
            {
                "step": member.step,
                "model": as_json(member.config),
                "corpus": as_json(member.corpus),
                "validation": dict(member.validation),
            }
        )
    ngrams = mixture.ngrams
    if ngrams is not None:
        arrays["ngrams.ids"] = ngrams.ids.astype(mixture.vocabulary.id_type)
    metadata: dict[str, JSON] = {
        "format": MIXTURE_FORMAT,
        "charrnn": __version__,
        "vocabulary": as_json(mixture.vocabulary),
        "members": members,
        "ngrams": None if ngrams is None else ngrams.settings(),
    }
    write_archive(path, arrays, metadata)


def load_any(path: Path) -> Checkpoint | MixtureRecord:
    """Read and validate a checkpoint or a mixture.

    Raises `CheckpointError` if there is no file, or if it is damaged or inconsistent, and
    `StorageError` if it cannot be read.
    """
    arrays, metadata = read_archive(path)
    with naming_file(path):
        if metadata.get("format") != MIXTURE_FORMAT:
            return parse_checkpoint(arrays, metadata)
        return parse_mixture(arrays, metadata)


def parse_mixture(arrays: dict[str, Array], metadata: dict[str, Any]) -> MixtureRecord:
    """Return the mixture of an archive after all of it is checked.

    Args:
        arrays: its arrays; those that are used are removed.
        metadata: its metadata.

    Raises `CheckpointError` for the first flaw.
    """
    check_names(metadata, KEYS)
    check_version(metadata["charrnn"])
    stored = metadata["members"]
    if not isinstance(stored, list) or not 1 <= len(stored) <= MAX_MEMBERS:
        raise CheckpointError(f"members is not a list of 1 to {MAX_MEMBERS} networks")
    members = []
    for number, entry in enumerate(stored):
        where = f"members.{number}."
        if not isinstance(entry, dict):
            raise CheckpointError(f"{where[:-1]} is not an object")
        check_names(entry, MEMBER_KEYS, where)
        own = {name: arrays.pop(name) for name in list(arrays) if name.startswith(where)}
        facts = {"format": 1, "charrnn": metadata["charrnn"], "training": None}
        try:
            member = parse_checkpoint(
                {name.removeprefix(where): array for name, array in own.items()},
                entry | facts | {"vocabulary": metadata["vocabulary"]},
            )
        except CheckpointError as error:
            raise CheckpointError(f"{where[:-1]}: {error.problem}") from error
        members.append(member)
    first = members[0]
    if any(member.corpus.normalise != first.corpus.normalise for member in members):
        raise CheckpointError("members have texts in different Unicode normal forms")
    ngrams = parse_ngrams(metadata["ngrams"], arrays, first.vocabulary)
    if len(members) == 1 and ngrams is None:
        raise CheckpointError("it has one network and no n-grams")
    if arrays:
        raise CheckpointError(f"array {next(iter(arrays))!r} has no place in it")
    return MixtureRecord(tuple(members), ngrams)


def parse_ngrams(
    stored: Any, arrays: dict[str, Array], vocabulary: Vocabulary
) -> NgramRecord | None:
    """Return the n-grams of a mixture, or None if there are none.

    Raises `CheckpointError` for settings out of range, and a text that the vocabulary cannot have.
    """
    if stored is None:
        return None
    if not isinstance(stored, dict):
        raise CheckpointError("ngrams is not an object")
    check_settings(stored, NGRAM_LIMITS, "ngrams.")
    ids = arrays.pop("ngrams.ids", None)
    if ids is None:
        raise CheckpointError("array 'ngrams.ids' is missing")
    if ids.ndim != 1 or ids.dtype != vocabulary.id_type:
        raise CheckpointError(
            f"array 'ngrams.ids' is {ids.dtype} {ids.shape}, not {vocabulary.id_type} (N,)"
        )
    if not 0 < len(ids) <= MAX_NGRAM_CHARACTERS:
        raise CheckpointError(f"array 'ngrams.ids' has {len(ids):,} characters")
    if int(ids.max()) >= len(vocabulary):
        raise CheckpointError("array 'ngrams.ids' has an id that is not in the vocabulary")
    exponents = {name: float(stored[name]) for name in NGRAM_LIMITS if "matched" in name}
    return NgramRecord(ids=ids, order=stored["order"], fitted=stored["fitted"], **exponents)
