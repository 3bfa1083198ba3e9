"""`charrnn train`: what a run writes, shows and chooses."""

import gzip
import hashlib
import json
import math
import os
import platform
import shlex
import sys
import time
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.data.text_files import validation_start
from charrnn.nn.cells import CELLS
from charrnn.nn.initialisers import INITIALISERS
from charrnn.optim.optimisers import OPTIMISERS
from charrnn.optim.schedules import SCHEDULES
from charrnn.training.backends import default_backend
from charrnn.training.presets import MAX_MUON_LR_SCALE
from charrnn.training_config import BACKENDS

Call = Callable[..., Result]
Process = Callable[..., "CompletedProcess[bytes]"]
Rows = Callable[[Path], list[dict[str, Any]]]
Metadata = Callable[[Path], dict[str, Any]]

STEP_KEYS = [
    "step",
    "epoch",
    "characters",
    "nats_per_char",
    "bits_per_char",
    "gradient_norm",
    "gradient_norm_clipped",
    "lr",
    "chars_per_second",
]
EVALUATION_KEYS = [
    "step",
    "validation_nats_per_char",
    "validation_bits_per_char",
]
RESULT_KEYS = [
    "run",
    "best",
    "reason",
    "steps",
    "best_step",
    "train_nats_per_char",
    "train_bits_per_char",
    "validation_nats_per_char",
    "validation_bits_per_char",
    "carried_state_nats_per_char",
    "validation_characters",
    "parameters",
    "seconds",
    "baselines",
]
BASELINES = ["uniform", "unigram", "5-gram", "gzip", "xz"]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"lock"}


def test_a_run_leaves_checkpoints_metrics_and_facts(
    run_cli: Call, corpus: Path, tiny: Sequence[str]
) -> None:
    result = run_cli("train", "corpus.txt", *tiny)
    assert result.exit_code == 0
    folder = Path("checkpoints/corpus")
    assert names(folder) == {"best.npz", "last.npz", "metrics.jsonl", "run.json"}
    assert load_checkpoint(folder / "last.npz").training is not None
    assert load_checkpoint(folder / "best.npz").training is None


def test_quiet_says_nothing(run_cli: Call, corpus: Path, tiny: Sequence[str]) -> None:
    result = run_cli("train", "corpus.txt", *tiny)
    assert (result.stdout, result.stderr) == ("", "")


def test_metrics_have_the_promised_keys_and_units(finished_run: Path, rows: Rows) -> None:
    steps = [row for row in rows(finished_run) if "lr" in row]
    evaluations = [row for row in rows(finished_run) if "lr" not in row]
    assert [row["step"] for row in steps] == list(range(1, 21))
    assert [row["step"] for row in evaluations] == [10, 20]
    windows = load_checkpoint(finished_run / "last.npz").training
    assert windows is not None
    for row in steps:
        assert list(row) == STEP_KEYS
        assert row["characters"] == row["step"] * 4 * 16
        assert row["bits_per_char"] == pytest.approx(row["nats_per_char"] / math.log(2))
        assert 0 < row["gradient_norm_clipped"] <= row["gradient_norm"]
        assert row["gradient_norm_clipped"] <= 1
        assert row["lr"] > 0
        assert row["chars_per_second"] > 0
        assert 0 < row["nats_per_char"] < 5
    epochs = {round(row["epoch"] / row["step"], 6) for row in steps}
    assert max(epochs) - min(epochs) < 1e-5
    for row in evaluations:
        assert list(row) == EVALUATION_KEYS
        nats = row["validation_nats_per_char"]
        assert row["validation_bits_per_char"] == pytest.approx(nats / math.log(2))
    assert steps[-1]["nats_per_char"] < steps[0]["nats_per_char"]


def test_best_is_the_checkpoint_of_the_lowest_validation_loss(
    run_cli: Call, corpus: Path, tiny: Sequence[str], rows: Rows
) -> None:
    run_cli("train", "corpus.txt", *tiny, "--eval-every", "2", "--lr", "3")
    folder = Path("checkpoints/corpus")
    losses = {
        row["step"]: row["validation_nats_per_char"] for row in rows(folder) if "lr" not in row
    }
    assert list(losses) == list(range(2, 21, 2))
    best = load_checkpoint(folder / "best.npz")
    assert best.step == min(losses, key=lambda step: losses[step])
    assert best.validation["nats_per_char"] == min(losses.values())


def test_run_json_says_what_was_called_on_which_machine(
    run_cli: Call, corpus: Path, tiny: Sequence[str]
) -> None:
    run_cli("train", "corpus.txt", *tiny)
    facts = json.loads(Path("checkpoints/corpus/run.json").read_text(encoding="utf-8"))
    assert facts["command"][0] == "charrnn"
    assert facts["sources"] == [str(corpus)]
    assert facts["started"].startswith("20")
    assert facts["machine"]["numpy"] == np.__version__
    assert facts["machine"]["cores"] == os.cpu_count()


def test_run_json_holds_the_command_as_it_was_typed(corpus: Path, process: Process) -> None:
    line = "train corpus.txt --hidden 4 --steps 1 --workers 1 --quiet --val-fraction 0"
    assert process(f"charrnn {line}").returncode == 0
    facts = json.loads(Path("checkpoints/corpus/run.json").read_text(encoding="utf-8"))
    assert facts["command"] == ["charrnn", *line.split()]


def test_checkpoints_tell_nothing_of_machine_place_or_time(
    run_cli: Call, corpus: Path, tiny: Sequence[str]
) -> None:
    elsewhere = corpus.parent / "elsewhere"
    elsewhere.mkdir()
    corpus.rename(elsewhere / "corpus.txt")
    run_cli("train", elsewhere / "corpus.txt", *tiny, "--name", "one")
    (elsewhere / "corpus.txt").rename(corpus)
    run_cli("train", corpus, *tiny, "--out", "other/place")
    for name in ("best.npz", "last.npz"):
        content = Path("checkpoints/one", name).read_bytes()
        assert content == Path("other/place", name).read_bytes()
        for private in (
            str(corpus.parent),
            platform.node(),
            platform.platform(),
            time.strftime("%Y-"),
        ):
            assert private.encode() not in content


def test_a_second_run_gets_its_own_folder(run_cli: Call, corpus: Path, tiny: Sequence[str]) -> None:
    run_cli("train", "corpus.txt", *tiny)
    before = Path("checkpoints/corpus/last.npz").read_bytes()
    for number in (2, 3):
        assert run_cli("train", "corpus.txt", *tiny, "--seed", str(number)).exit_code == 0
        assert Path(f"checkpoints/corpus-{number}/last.npz").exists()
    assert Path("checkpoints/corpus/last.npz").read_bytes() == before


def test_name_and_out_say_where(run_cli: Call, corpus: Path, tiny: Sequence[str]) -> None:
    run_cli("train", "corpus.txt", *tiny, "--name", "mine")
    run_cli("train", "corpus.txt", *tiny, "--out", "some/where")
    run_cli("train", "corpus.txt", *tiny, "--out", "some/where")
    for folder in ("checkpoints/mine", "some/where", "some/where-2"):
        assert Path(folder, "best.npz").exists()


def test_keep_leaves_the_newest_numbered_saves(
    run_cli: Call, corpus: Path, tiny: Sequence[str]
) -> None:
    run_cli("train", "corpus.txt", *tiny, "--keep", "2", "--save-every", "4")
    numbered = sorted(Path("checkpoints/corpus").glob("step-*.npz"))
    assert [path.name for path in numbered] == ["step-000012.npz", "step-000016.npz"]
    assert load_checkpoint(numbered[0]).step == 12


def test_json_is_one_object_with_units_in_its_names(
    run_cli: Call, corpus: Path, tiny: Sequence[str], rows: Rows
) -> None:
    result = run_cli("train", "corpus.txt", *tiny, "--json")
    figures = json.loads(result.stdout)
    assert result.stdout.count("\n") == 1
    assert list(figures) == RESULT_KEYS
    assert figures["reason"] == "finished"
    assert figures["steps"] == 20
    assert figures["best"] == str(Path("checkpoints/corpus/best.npz"))
    for kind in ("train", "validation"):
        nats = figures[f"{kind}_nats_per_char"]
        assert figures[f"{kind}_bits_per_char"] == pytest.approx(nats / math.log(2))
    assert list(figures["baselines"]) == BASELINES
    for baseline in figures["baselines"].values():
        assert baseline["bits_per_char"] == pytest.approx(baseline["nats_per_char"] / math.log(2))
    assert figures["baselines"]["uniform"]["nats_per_char"] == pytest.approx(
        math.log(len(load_checkpoint(Path(figures["best"])).vocabulary))
    )
    evaluate = run_cli("eval", figures["best"], write_held_out(corpus), "--json")
    scored = json.loads(evaluate.stdout)
    assert scored["nats_per_char"] == pytest.approx(figures["validation_nats_per_char"], rel=1e-6)
    assert scored["characters"] == figures["validation_characters"]
    assert scored["baselines"] == figures["baselines"]


def write_held_out(corpus: Path) -> Path:
    text = corpus.read_text(encoding="utf-8")
    validation = corpus.with_name("held-out.txt")
    validation.write_text(text[validation_start(len(text), 0.1) :], encoding="utf-8")
    return validation


def without(options: Sequence[str], *flags: str) -> list[str]:
    """Leave out switches, and options with their values."""
    left = list(options)
    for flag in flags:
        place = left.index(flag)
        del left[place : place + (1 if flag == "--quiet" else 2)]
    return left


def test_the_first_screen_states_the_facts(
    run_cli: Call, corpus: Path, tiny: Sequence[str]
) -> None:
    result = run_cli("train", "corpus.txt", *without(tiny, "--quiet"))
    screen = {line.split()[0]: line for line in result.stderr.splitlines()[:12] if line.split()}
    model = load_checkpoint(Path("checkpoints/corpus/best.npz"))
    text = corpus.read_text(encoding="utf-8")
    begin = validation_start(len(text), 0.1)
    assert f"corpus: {begin:,} characters to train on, {len(text) - begin:,} " in screen["corpus"]
    assert f"{len(set(text))} characters" in screen["vocabulary"]
    assert f"1 × 8 mlstm, {len(model.parameters.vector):,} parameters" in screen["model"]
    assert "MB" in screen["memory"]
    assert "characters/s in 1 process of" in screen["speed"]
    assert "20 steps of 4 × 16 characters" in screen["plan"]
    assert "about" in screen["time"]
    assert "checkpoints/corpus" in screen["folder"]
    assert all(len(line) <= 80 for line in result.stderr.splitlines())


def test_the_chosen_options_repeat_the_run(
    run_cli: Call, corpus: Path, assert_same: Callable[[Path, Path], None]
) -> None:
    first = run_cli("train", "corpus.txt", "--hidden", "8", "--epochs", "3", "--lr", "0.123456789")
    _, _, rest = first.stderr.partition("\nchosen ")
    block = [rest.split("\n")[0]]
    for line in rest.split("\n")[1:]:
        if not line.startswith("   "):
            break
        block.append(line)
    chosen = shlex.split(" ".join(block))
    assert "--steps" in chosen
    assert "--workers" in chosen
    assert chosen[chosen.index("--backend") + 1] == default_backend()
    again = run_cli("train", "corpus.txt", "--quiet", *chosen)
    assert again.exit_code == 0
    assert_same(Path("checkpoints/corpus"), Path("checkpoints/corpus-2"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_is_used_and_stored(
    run_cli: Call, corpus: Path, tiny: Sequence[str], backend: str, metadata: Metadata
) -> None:
    result = run_cli("train", "corpus.txt", *tiny, "--backend", backend, "--out", "there")
    if backend == "numba" and default_backend() == "numpy":
        assert result.exit_code == 2
        assert "pip install numba" in result.stderr
    else:
        assert result.exit_code == 0
        assert metadata(Path("there/last.npz"))["training"]["config"]["kernel"] == backend


def test_a_kernel_that_is_not_installed_is_not_taken(
    run_cli: Call, corpus: Path, tiny: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("charrnn.training.numba_backend", "numba"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delattr(sys.modules["charrnn.training"], "numba_backend", raising=False)
    result = run_cli("train", "corpus.txt", *without(tiny, "--quiet"))
    assert result.exit_code == 0
    assert "--backend numpy" in " ".join(result.stderr.split())
    refused = run_cli("train", "corpus.txt", *tiny, "--backend", "numba", "--out", "there")
    assert refused.exit_code == 2
    assert refused.stderr.startswith("charrnn: error: the backend numba cannot be used (")
    assert refused.stderr.endswith("; try pip install numba\n")
    assert refused.stderr.count("\n") == 1
    assert not Path("there").exists()


def test_progress_is_plain_lines_with_samples_where_there_is_no_terminal(
    run_cli: Call, corpus: Path, tiny: Sequence[str]
) -> None:
    result = run_cli("train", "corpus.txt", *without(tiny, "--quiet"))
    assert "\nstep 1/20  " in result.stderr
    assert "\nstep 10, epoch 0.28: validation " in result.stderr
    assert "\n  | " in result.stderr
    assert "\r" not in result.stderr
    assert "5-gram" in result.stdout
    assert result.stdout.count("\n") >= 8
    silent = run_cli("train", "corpus.txt", *without(tiny, "--quiet"), "--sample-every", "0")
    assert "validation" in silent.stderr
    assert "\n  | " not in silent.stderr
    often = run_cli("train", "corpus.txt", *without(tiny, "--quiet"), "--sample-every", "7")
    assert [f"\nstep {step}:\n  | " in often.stderr for step in (7, 10, 14)] == [True, False, True]


def test_the_last_line_is_the_command_to_type_next(
    run_cli: Call, corpus: Path, tiny: Sequence[str]
) -> None:
    result = run_cli("train", "corpus.txt", *without(tiny, "--quiet"))
    _, _, command = result.stdout.rpartition("Next: charrnn ")
    written = run_cli(*shlex.split(command), "--seed", "1", "--length", "30")
    assert written.exit_code == 0
    assert len(written.stdout.strip("\n")) > 0


def test_too_small_a_corpus_shrinks_the_windows_with_a_note(
    run_cli: Call, metadata: Metadata
) -> None:
    Path("small.txt").write_text("abcdefghij" * 20, encoding="utf-8")
    result = run_cli("train", "small.txt", "--hidden", "8", "--steps", "3", "--workers", "1", "-q")
    assert result.exit_code == 0
    [note] = result.stderr.splitlines()
    assert note.startswith("charrnn: note: 180 characters are few for 32 sequences of 64: training")
    config = metadata(Path("checkpoints/small/last.npz"))["training"]["config"]
    assert f"with {config['batch']} of {config['seq_length']}" in note
    assert 4 * config["batch"] * config["seq_length"] <= 180


@pytest.mark.parametrize("text", ["abab", "ab" * 4, "ab\n" * 7])
def test_even_a_few_characters_can_be_trained_on(run_cli: Call, text: str) -> None:
    Path("few.txt").write_text(text, encoding="utf-8")
    options = ("--hidden", "4", "--steps", "2", "--workers", "1", "--val-fraction", "0")
    assert run_cli("train", "few.txt", *options).exit_code == 0
    assert len(run_cli("sample", "--length", "9", "--temperature", "0").stdout.rstrip("\n")) <= 9


def test_a_text_can_come_from_standard_input(
    run_cli: Call, sentences: str, tiny: Sequence[str], metadata: Metadata
) -> None:
    assert run_cli("train", "-", *tiny, stdin=sentences).exit_code == 0
    record = metadata(Path("checkpoints/stdin/last.npz"))["corpus"]
    assert record["sha256"] == hashlib.sha256(sentences.encode()).hexdigest()


def test_gz_folders_and_several_files_are_the_joined_text(
    run_cli: Call, empty_folder: Path, sentences: str, tiny: Sequence[str], metadata: Metadata
) -> None:
    folder = empty_folder / "texts"
    (folder / "below").mkdir(parents=True)
    (folder / "a.txt.gz").write_bytes(gzip.compress(sentences[:1500].encode()))
    (folder / "below" / "z.txt").write_text(sentences[1500:], encoding="utf-8")
    (folder / "picture.png").write_bytes(b"\x89PNG\0\0\0")
    joined = f"{sentences[:1500]}\n{sentences[1500:]}"

    whole = run_cli("train", "texts", *tiny)
    assert whole.exit_code == 0
    assert "skipped, not text: texts/picture.png" in whole.stderr
    parts = run_cli("train", "texts/below/z.txt", "texts/a.txt.gz", *tiny, "--name", "parts")
    assert parts.exit_code == 0
    for name in ("texts", "parts"):
        record = metadata(Path("checkpoints", name, "last.npz"))["corpus"]
        assert record["sha256"] == hashlib.sha256(joined.encode()).hexdigest()
        assert record["characters"] == len(joined)


def test_a_built_in_corpus_needs_no_file(
    run_cli: Call, tiny: Sequence[str], metadata: Metadata
) -> None:
    result = run_cli("train", "--builtin", "france:40", *tiny, "--val-fraction", "0.01")
    assert result.exit_code == 0
    record = metadata(Path("checkpoints/france-40/last.npz"))["corpus"]
    assert record["built_in"] == "france:40"
    assert record["name"] == "france-40"


def test_bytes_can_be_learnt_from_any_file(
    run_cli: Call, tiny: Sequence[str], metadata: Metadata
) -> None:
    Path("any.bin").write_bytes(bytes(range(256)) * 9)
    assert run_cli("train", "any.bin", "--bytes", *tiny).exit_code == 0
    vocabulary = metadata(Path("checkpoints/any/best.npz"))["vocabulary"]
    assert vocabulary == {"as_bytes": True, "characters": "".join(map(chr, range(256)))}
    assert run_cli("train", "any.bin", *tiny).exit_code == 4


def test_rare_characters_are_left_out_and_named(
    run_cli: Call, sentences: str, tiny: Sequence[str], metadata: Metadata
) -> None:
    Path("rare.txt").write_text(f"Ω{sentences}ß\x1b", encoding="utf-8")
    result = run_cli("train", "rare.txt", "--min-count", "2", *tiny)
    assert result.exit_code == 0
    assert "left out 3 different characters, rarer than --min-count: ␛ßΩ" in result.stderr
    vocabulary = metadata(Path("checkpoints/rare/best.npz"))["vocabulary"]["characters"]
    assert vocabulary == "".join(sorted(set(sentences)))


def test_normal_forms_join_what_belongs_together(
    run_cli: Call, sentences: str, tiny: Sequence[str], metadata: Metadata
) -> None:
    decomposed = unicodedata.normalize("NFD", sentences.replace("a", "é"))
    Path("accents.txt").write_text(decomposed, encoding="utf-8")
    run_cli("train", "accents.txt", *tiny)
    run_cli("train", "accents.txt", "--normalize", "nfc", *tiny)
    plain, composed = (
        metadata(Path("checkpoints", name, "best.npz"))["vocabulary"]["characters"]
        for name in ("accents", "accents-2")
    )
    assert "é" not in plain
    assert "\u0301" in plain
    assert "é" in composed
    assert "\u0301" not in composed


def test_the_preset_of_2015_is_kept_to_the_letter(
    run_cli: Call, corpus: Path, metadata: Metadata, rows: Rows
) -> None:
    options = ("--preset", "min-char-rnn", "--steps", "12", "--workers", "1", "--quiet")
    assert run_cli("train", "corpus.txt", *options).exit_code == 0
    facts = metadata(Path("checkpoints/corpus/last.npz"))
    model, config = facts["model"], facts["training"]["config"]
    assert (model["cell"], model["layers"], model["hidden"]) == ("rnn", 1, 100)
    assert {model["init"], model["input_init"], model["readout_init"]} == {"normal:0.01"}
    assert (config["seq_length"], config["batch"], config["loss"]) == (25, 1, "sum")
    assert (config["optimiser"], config["lr"], config["schedule"]) == (
        "adagrad-damped",
        0.1,
        "constant",
    )
    assert (config["clip_value"], config["clip_norm"], config["reset_rate"]) == (5.0, None, 0.0)
    assert {row["lr"] for row in rows(Path("checkpoints/corpus")) if "lr" in row} == {0.1}


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_learns(
    cell: str, run_cli: Call, corpus: Path, tiny: Sequence[str], metadata: Metadata
) -> None:
    options = ("--cell", cell, "--layers", "2", "--json")
    figures = json.loads(run_cli("train", "corpus.txt", *tiny, *options).stdout)
    assert figures["validation_nats_per_char"] < figures["baselines"]["uniform"]["nats_per_char"]
    model = metadata(Path("checkpoints/corpus/last.npz"))["model"]
    assert (model["cell"], model["layers"]) == (cell, 2)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_every_optimiser_learns(
    optimiser: str, run_cli: Call, corpus: Path, tiny: Sequence[str]
) -> None:
    options = ("--optimizer", optimiser, "--json", "--weight-decay", "1e-4")
    figures = json.loads(run_cli("train", "corpus.txt", *tiny, *options).stdout)
    assert figures["validation_nats_per_char"] < figures["baselines"]["uniform"]["nats_per_char"]
    state = load_checkpoint(Path("checkpoints/corpus/last.npz")).training
    assert state is not None
    assert tuple(state.optimiser) == OPTIMISERS[optimiser].slots
    scale = MAX_MUON_LR_SCALE if optimiser == "muon" else 1.0  # few units
    assert state.config.lr == scale * OPTIMISERS[optimiser].default_lr
    assert all(np.abs(slot.vector).max() > 0 for slot in state.optimiser.values())


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_learning_rate_warms_up_and_follows_its_schedule(
    schedule: str, run_cli: Call, corpus: Path, tiny: Sequence[str], rows: Rows
) -> None:
    run_cli(
        "train", "corpus.txt", *tiny, "--schedule", schedule, "--lr", "0.1", "--warmup-steps", "2"
    )
    rates = [row["lr"] for row in rows(Path("checkpoints/corpus")) if "lr" in row]
    assert rates[0] == pytest.approx(0.05)
    assert rates[2] == pytest.approx(0.1)
    assert rates[2:] == sorted(rates[2:], reverse=True)
    last = {"constant": 0.1, "cosine": 0.002, "step": 0.1 / 16}[schedule]
    assert rates[-1] == pytest.approx(last, abs=0.002)


@pytest.mark.parametrize("init", [*INITIALISERS, "normal:0.01", "uniform:0.2"])
def test_every_initialiser_can_be_named(
    init: str, run_cli: Call, corpus: Path, tiny: Sequence[str], metadata: Metadata
) -> None:
    options = (
        "--recurrent-init",
        init,
        "--input-init",
        init,
        "--recurrent-gain",
        "0.5",
        "--val-fraction",
        "0",
    )
    assert run_cli("train", "corpus.txt", *tiny, *options).exit_code == 0
    assert metadata(Path("checkpoints/corpus/best.npz"))["model"]["init"] == init


def test_patience_ends_a_run_on_a_plateau(run_cli: Call, corpus: Path, tiny: Sequence[str]) -> None:
    still = ("--optimizer", "sgd", "--lr", "1e-30", "--eval-every", "2", "--patience", "3")
    figures = json.loads(run_cli("train", "corpus.txt", *tiny, *still, "--json").stdout)
    assert (figures["reason"], figures["steps"], figures["best_step"]) == ("plateau", 8, 2)


def test_minutes_are_wall_time_of_the_whole_command(corpus: Path, process: Process) -> None:
    began = time.monotonic()
    done = process("charrnn train corpus.txt --minutes 0.05 --hidden 16 --json -q --workers 1")
    seconds = time.monotonic() - began
    figures = json.loads(done.stdout)
    assert done.returncode == 0
    assert 1.5 < seconds < 8  # 3 planned; the machine may be busy with something else
    assert figures["seconds"] <= seconds + 0.05  # it is rounded to a tenth
    assert figures["steps"] > 20


def test_epochs_are_counted_in_whole_windows(
    run_cli: Call, corpus: Path, tiny: Sequence[str], rows: Rows
) -> None:
    run_cli("train", "corpus.txt", *without(tiny, "--steps"), "--epochs", "1.5")
    last = rows(Path("checkpoints/corpus"))[-2]
    assert last["epoch"] == pytest.approx(1.5, abs=0.03)


def test_nothing_held_out_means_no_validation(
    run_cli: Call, corpus: Path, tiny: Sequence[str], rows: Rows
) -> None:
    result = run_cli("train", "corpus.txt", *tiny, "--val-fraction", "0", "--json")
    figures = json.loads(result.stdout)
    assert figures["validation_nats_per_char"] is None
    assert figures["baselines"] is None
    folder = Path("checkpoints/corpus")
    assert all("lr" in row for row in rows(folder))
    assert load_checkpoint(folder / "best.npz").step == 20


def test_averaged_weights_are_what_is_used(
    run_cli: Call, corpus: Path, tiny: Sequence[str]
) -> None:
    assert run_cli("train", "corpus.txt", *tiny, "--ema-decay", "0.9").exit_code == 0
    last = load_checkpoint(Path("checkpoints/corpus/last.npz"))
    assert last.training is not None
    assert last.training.parameters is not None
    trained = last.training.parameters.vector
    assert np.abs(trained - last.parameters.vector).max() > 1e-4


class TestInitFrom:
    @pytest.fixture
    def odd(self, untrained: Callable[..., Any]) -> Path:
        """A model whose vocabulary is in no order."""
        untrained("zyxwvutsrqponmlkjihgfedcba .\n", layers=1).save("odd.npz")
        return Path("odd.npz")

    def test_weights_and_the_order_of_the_vocabulary_are_kept(
        self, run_cli: Call, corpus: Path, tiny: Sequence[str], odd: Path
    ) -> None:
        still = ("--optimizer", "sgd", "--lr", "1e-30")
        result = run_cli("train", "corpus.txt", *tiny, *still, "--init-from", odd)
        assert result.exit_code == 0
        parent, child = load_checkpoint(odd), load_checkpoint(Path("checkpoints/corpus/best.npz"))
        assert child.vocabulary == parent.vocabulary
        assert np.abs(child.parameters.vector - parent.parameters.vector).max() < 1e-25
        assert child.corpus.characters == len(corpus.read_text(encoding="utf-8"))

    def test_unknown_characters_are_named_and_left_out(
        self, run_cli: Call, corpus: Path, tiny: Sequence[str], odd: Path
    ) -> None:
        corpus.write_text(corpus.read_text(encoding="utf-8") + "Äß\x1b", encoding="utf-8")
        result = run_cli("train", "corpus.txt", *tiny, "--init-from", odd)
        assert result.exit_code == 0
        [note] = result.stderr.splitlines()
        assert "left out 3 different characters, the checkpoint does not know: ␛Äß" in note

    @pytest.mark.parametrize(
        ("option", "value"), [("--hidden", "9"), ("--layers", "2"), ("--cell", "gru")]
    )
    def test_another_size_is_refused(
        self,
        option: str,
        value: str,
        run_cli: Call,
        corpus: Path,
        tiny: Sequence[str],
        odd: Path,
    ) -> None:
        result = run_cli("train", "corpus.txt", *tiny, "--init-from", odd, option, value)
        assert result.exit_code == 2
        assert f"{option} {value} does not fit" in result.stderr
        assert not Path("checkpoints").exists()

    def test_a_runs_folder_will_do_and_bytes_do_not_mix(
        self, run_cli: Call, corpus: Path, tiny: Sequence[str], finished_run: Path
    ) -> None:
        assert run_cli("train", "corpus.txt", *tiny, "--init-from", finished_run).exit_code == 0
        mixed = run_cli("train", "corpus.txt", *tiny, "--init-from", finished_run, "--bytes")
        assert mixed.exit_code == 2
        assert "--bytes" in mixed.stderr


# Losses that are not finite

DIVERGING = ("--lr", "3000", "--weight-decay", "0.002", "--batch-size", "4", "--seq-length", "16")


def test_rollback_finishes_a_run_that_diverges(
    run_cli: Call, corpus: Path, rows: Callable[[Path], list[dict[str, Any]]]
) -> None:
    options = (
        *("--hidden", "8", "--steps", "300", "--workers", "1", "-q", *DIVERGING),
        *("--backend", "numpy", "--warmup-steps", "0", "--cell", "rnn", "--eval-every", "100"),
    )
    stopped = run_cli("train", "corpus.txt", *options, "--save-every", "5")
    assert stopped.exit_code == 6
    result = run_cli("train", "corpus.txt", *options, "--on-nonfinite", "rollback", "--out", "back")
    assert result.exit_code == 0, result.stderr
    assert "went back to the weights of step 0, learning rate × 0.5" in result.stderr
    found = [row for row in rows(Path("back")) if "nonfinite" in row]
    assert 1 <= len(found) <= 3
    assert [row["lr_scale"] for row in found] == [0.5, 0.25, 0.125][: len(found)]
    resumed = run_cli("train", "--resume", "checkpoints/corpus", "--on-nonfinite", "rollback", "-q")
    assert resumed.exit_code == 0, resumed.stderr
    assert "learning rate × 0.5" in resumed.stderr


def test_a_policy_for_losses_that_are_not_finite_has_a_name(run_cli: Call, corpus: Path) -> None:
    result = run_cli("train", "corpus.txt", "--on-nonfinite", "ignore")
    assert result.exit_code == 2
    assert "no policy for --on-nonfinite called 'ignore'; there are stop, skip" in result.stderr
