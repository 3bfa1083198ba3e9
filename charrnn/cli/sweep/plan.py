"""Plan of a sweep or an ensemble: sweep.json in its folder, from which it goes on.

sweep.json          what is tried: corpus, options of all trials, options of each
training-part.*     what the trials read
trial-001, …        the run of each trial; of an ensemble member-001, …
lock                locked while a sweep is running
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from charrnn.checkpointing.run_records import as_number, parse_or_none
from charrnn.cli.options import DEFAULT_VAL_FRACTION
from charrnn.cli.output.safe_text import shell_command
from charrnn.cli.runs.run_folder import make_folders, storage_errors
from charrnn.cli.sweep.training_part import TrainingPart, sha256_of
from charrnn.cli.trials.settings import words_of
from charrnn.cli.trials.trial import Trial
from charrnn.errors import CheckpointError, StorageError, TextError, UsageError
from charrnn.system.files import read_regular_file, write_atomically
from charrnn.training.search_space import MAX_TRIALS, Point

FILE = "sweep.json"
FORMAT = 1
NOUNS = {"sweep": "trial", "ensemble": "member"}
"""What the runs are called, by the command that has started them."""

MAX_BYTES = 2**24


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep tries.

    Args:
        corpus: words of `train` that name the whole corpus: files, or `--builtin NAME`.
        reading: options of `train` by which the corpus is read, by flag.
        file: the name of the file that trials read, in the folder of the sweep.
        sha256: of that file.
        hold_out: the fraction of the corpus that no trial reads.
        fixed: options that all trials have, by flag.
        flags: options that differ between trials.
        points: for each trial, their values by flag.
        kind: the command: `sweep` or `ensemble`.
    """

    corpus: tuple[str, ...]
    reading: dict[str, str]
    file: str
    sha256: str
    hold_out: float
    fixed: dict[str, str]
    flags: tuple[str, ...]
    points: tuple[Point, ...]
    kind: str = "sweep"

    @property
    def noun(self) -> str:
        """What its runs are called."""
        return NOUNS[self.kind]

    def trial_folder(self, folder: Path, number: int) -> Path:
        """Return the folder of a trial of the sweep in `folder`."""
        return folder / f"{self.noun}-{number:03d}"

    def trials(self, folder: Path) -> list[Trial]:
        """Return the trials of a sweep in `folder`."""
        part = str((folder / self.file).resolve())
        no_teachers = () if "--layout" in self.reading else ("--train-teachers", "0")
        reading = {flag: value for flag, value in self.reading.items() if flag != "--encoding"}
        return [
            Trial(
                number,
                str(self.trial_folder(folder, number)),
                (part, *no_teachers, *words_of(reading | self.fixed | point)),
            )
            for number, point in enumerate(self.points, 1)
        ]

    def final_words(self, point: Mapping[str, str]) -> list[str]:
        """Return the words of `train` that train on the whole corpus with these settings."""
        settings = self.reading | self.fixed | dict(point)
        settings = {flag: value for flag, value in settings.items() if flag != "--workers"}
        settings["--val-fraction"] = f"{self.hold_out:g}"
        if self.hold_out in (0, DEFAULT_VAL_FRACTION):  # nothing held out, or what train does
            settings.pop("--val-fraction")
        return ["charrnn", "train", *self.corpus, *words_of(settings)]

    def save(self, folder: Path) -> None:
        """Write sweep.json. Raises `StorageError`."""
        text = json.dumps({"format": FORMAT} | asdict(self), indent=2)
        with storage_errors(folder / FILE):
            write_atomically(folder / FILE, f"{text}\n".encode())


def new_folder(wanted: Path) -> Path:
    """Make the folder of a new sweep: `wanted`, or `wanted-2` and so on if it exists.

    Raises `UsageError` for no name, and `StorageError` if it cannot be made.
    """
    if wanted.name in ("", ".."):
        raise UsageError(f"--out {str(wanted)!r} is no folder for a sweep", "--out DIR")
    number = 1
    while True:
        path = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        try:
            make_folders(path)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise StorageError(
                f"cannot make the folder {str(path)!r}: {error.strerror}", "--out DIR"
            ) from error
        else:
            return path


def write_part(folder: Path, part: TrainingPart) -> str:
    """Write what trials read; return its SHA-256. Raises `StorageError`."""
    path = folder / part.file_name
    with storage_errors(path):
        write_atomically(path, part.chunks())
        return sha256_of(path)


def load_plan(folder: Path, kind: str = "sweep") -> SweepPlan:
    """Return the plan of a sweep or ensemble in a folder.

    Raises `CheckpointError` if it holds none, a damaged one, or one of the other kind.
    """
    try:
        content = read_regular_file(folder / FILE, MAX_BYTES)
    except OSError as error:
        raise CheckpointError(
            f"no {kind} in {str(folder)!r}: {FILE} cannot be read ({error.strerror})",
            f"the folder of one, which charrnn {kind} names",
        ) from error
    found = parse_or_none(content.decode("utf-8", "replace"))
    plan = parsed(found) if isinstance(found, dict) else None
    if plan is None:
        raise CheckpointError(
            f"{str(folder / FILE)!r} is damaged, or of another version", "a new sweep"
        )
    if plan.kind != kind:
        raise CheckpointError(
            f"{str(folder)!r} is of charrnn {plan.kind}",
            shell_command("charrnn", plan.kind, "--resume", str(folder)),
        )
    return plan


def parsed(found: Mapping[str, Any]) -> SweepPlan | None:
    """Return the plan that sweep.json holds, or None if a field has an unexpected value."""
    corpus, flags, points = found.get("corpus"), found.get("flags"), found.get("points")
    reading, fixed = found.get("reading"), found.get("fixed")
    file, sha256, hold_out = found.get("file"), found.get("sha256"), found.get("hold_out")
    if found.get("format") != FORMAT or not isinstance(points, list) or not is_name(file):
        return None
    if not are_texts(corpus) or not are_texts(flags) or not isinstance(sha256, str):
        return None
    if not all(map(is_settings, (reading, fixed, *points))) or not 0 < len(points) <= MAX_TRIALS:
        return None
    fraction, kind = as_number(hold_out), found.get("kind", "sweep")
    if fraction is None or kind not in NOUNS:
        return None
    if any(point.keys() != set(flags or ()) for point in points):
        return None
    return SweepPlan(
        tuple(corpus or ()),
        dict(reading or {}),
        str(file),
        sha256,
        fraction,
        dict(fixed or {}),
        tuple(flags or ()),
        tuple(points),
        kind,
    )


def is_name(value: object) -> bool:
    """Return whether a value is the plain name of a file."""
    return isinstance(value, str) and value == Path(value).name and value not in ("", "..")


def are_texts(value: object) -> bool:
    """Return whether a value is a list of texts."""
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def is_settings(value: object) -> bool:
    """Return whether a value maps options to texts."""
    return isinstance(value, dict) and all(
        name.startswith("--") and isinstance(text, str) for name, text in value.items()
    )


def check_part(folder: Path, plan: SweepPlan) -> None:
    """Raise `TextError` if the file that the trials read is missing or has changed."""
    path = folder / plan.file
    try:
        same = sha256_of(path) == plan.sha256
    except OSError as error:
        raise TextError(f"{str(path)!r} cannot be read: {error.strerror}", "a new sweep") from error
    if not same:
        raise TextError(f"{str(path)!r} is not what the sweep began with", "a new sweep")
