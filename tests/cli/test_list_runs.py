"""`charrnn runs`: every status, as a table and as JSON, whatever lies in the folders."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from typer.testing import Result

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.cli.list_runs import age, disk, loss
from charrnn.cli.runs.run_folder import RunFolder
from charrnn.cli.runs.run_status import TAIL_BYTES, last_logged_step
from charrnn.run_files import is_run_file

Call = Callable[..., Result]
AtStep = Callable[[int, Callable[[], None]], None]

KEYS = [
    *("folder", "status", "step", "steps", "best_nats", "best_step", "unit", "network", "corpus"),
    *("size_bytes", "changed"),
]
DIVERGES = ("--optimizer", "sgd", "--lr", "1e38", "--clip-norm", "1e30", "--warmup-steps", "0")


@pytest.fixture
def run(finished_run: Path) -> Path:
    """A copy of a finished run under ./checkpoints."""
    return Path(shutil.copytree(finished_run, "checkpoints/corpus"))


def listed(run_cli: Call, *arguments: str | Path) -> list[dict[str, Any]]:
    """Return the runs of `charrnn runs --json`."""
    result = run_cli("runs", *arguments, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.count("\n") == 1
    found: list[dict[str, Any]] = json.loads(result.stdout)["runs"]
    return found


def status(run_cli: Call, folder: Path) -> str:
    """Return the status of one run."""
    [run] = listed(run_cli, folder)
    return str(run["status"])


def test_a_finished_run_has_its_best_loss_its_size_and_its_age(run_cli: Call, run: Path) -> None:
    [found] = listed(run_cli)
    last = load_checkpoint(run / "last.npz")
    assert last.training is not None
    assert list(found) == KEYS
    assert (found["folder"], found["status"]) == ("checkpoints/corpus", "finished")
    assert (found["step"], found["steps"]) == (20, 20)
    assert found["best_nats"] == last.training.progress.best_nats
    assert found["best_step"] == last.training.progress.best_step
    assert (found["unit"], found["corpus"]) == ("char", "corpus")
    assert found["network"] == {
        "cell": "mlstm",
        "layers": 1,
        "hidden": 8,
        "parameters": len(last.parameters.vector),
    }
    (run / "notes.txt").write_text("not a file of the run", encoding="utf-8")
    sizes = [path.stat().st_size for path in run.iterdir() if is_run_file(path.name)]
    assert listed(run_cli)[0]["size_bytes"] == sum(sizes)
    for path in run.iterdir():
        os.utime(path, (86_400, 86_400))
    assert listed(run_cli)[0]["changed"].startswith("1970-01-0")
    shown = run_cli("runs").stdout.splitlines()
    nats = f"{last.training.progress.best_nats:.4f}"
    assert shown[0].split() == ["run", "status", "done", "loss", "network", "disk", "age"]
    assert shown[1].split()[:6] == [
        *("checkpoints/corpus", "finished", "100%"),
        *(nats, "1×8", "mlstm"),
    ]
    assert shown[1].endswith(" y")
    assert shown[2] == "loss: that of the best validation, in nats per character"


def test_an_interrupted_run_can_be_continued_with_the_command_shown(
    run_cli: Call, corpus: Path, tiny: Sequence[str], at_step: AtStep
) -> None:
    at_step(13, lambda: signal.raise_signal(signal.SIGINT))
    assert run_cli("train", corpus, *tiny, "--name", "my run").exit_code == 130
    at_step(0, lambda: None)
    result = run_cli("runs")
    assert "interrupted   65%" in result.stdout
    assert "charrnn train --resume 'checkpoints/my run'" in result.stdout
    assert run_cli("train", "--resume", "checkpoints/my run", "--quiet").exit_code == 0
    assert status(run_cli, Path("checkpoints/my run")) == "finished"
    assert "--resume" not in run_cli("runs").stdout


def test_a_run_that_was_killed_before_its_first_save_is_interrupted(run_cli: Call) -> None:
    folder = Path("checkpoints/killed")
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"steps": 50}', encoding="utf-8")
    (folder / "lock").touch()
    [found] = listed(run_cli)
    assert (found["status"], found["step"], found["steps"]) == ("interrupted", None, 50)
    shown = run_cli("runs").stdout
    assert "--resume" not in shown  # there is nothing to continue
    assert shown.splitlines()[1].split()[:5] == ["checkpoints/killed", "interrupted", *"---"]


def test_a_run_is_running_while_it_holds_its_lock(run_cli: Call, run: Path) -> None:
    with RunFolder(run):
        [found] = listed(run_cli)
        assert (found["status"], found["step"]) == ("running", 20)
        with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write('{"step": 31}\n{"step": 32')
        assert listed(run_cli)[0]["step"] == 31
    found = listed(run_cli)[0]
    assert (found["status"], found["step"]) == ("finished", 20)


def test_a_run_says_that_it_diverged_until_it_is_resumed(
    run_cli: Call, corpus: Path, tiny: Sequence[str], at_step: AtStep
) -> None:
    assert run_cli("train", corpus, *tiny, *DIVERGES, "--save-every", "1").exit_code == 6
    folder = Path("checkpoints/corpus")
    assert status(run_cli, folder) == "diverged"
    assert "diverged" in run_cli("runs").stdout
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    for other in ("Diverged", True, ["diverged"], None):
        (folder / "run.json").write_text(json.dumps(facts | {"ended": other}), encoding="utf-8")
        assert status(run_cli, folder) == "interrupted"
    (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    seen = []
    at_step(2, lambda: seen.append(json.loads((folder / "run.json").read_text(encoding="utf-8"))))
    resumed = run_cli("train", "--resume", folder, "--on-nonfinite", "skip", "--quiet")
    assert resumed.exit_code in (0, 6)
    with_skipping = json.loads((folder / "run.json").read_text(encoding="utf-8"))["ended"]
    assert with_skipping == ("diverged" if resumed.exit_code else None)
    assert all(facts["ended"] is None for facts in seen)


def test_the_mark_of_a_divergence_does_not_count_for_a_finished_run(
    run_cli: Call, run: Path
) -> None:
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (run / "run.json").write_text(json.dumps(facts | {"ended": "diverged"}), encoding="utf-8")
    assert status(run_cli, run) == "finished"
    with RunFolder(run):
        assert status(run_cli, run) == "running"


def test_damaged_and_bare_models_are_listed_too(run_cli: Call, run: Path) -> None:
    shutil.copytree(run, "checkpoints/bare")
    Path("checkpoints/bare/last.npz").unlink()
    (run / "last.npz").write_bytes(b"PK\3\4")
    (run / "run.json").write_bytes(b"\xff{")
    shutil.copytree(run, "checkpoints/worse")
    Path("checkpoints/worse/best.npz").write_bytes(b"")
    found = {one["folder"].removeprefix("checkpoints/"): one for one in listed(run_cli)}
    assert {name: one["status"] for name, one in found.items()} == {
        "bare": "model only",
        "corpus": "damaged",
        "worse": "damaged",
    }
    assert found["corpus"]["best_nats"] == found["bare"]["best_nats"]
    assert found["worse"]["network"] is None
    assert run_cli("runs").exit_code == 0


def test_runs_are_sorted_by_age_loss_or_name(run_cli: Call, run: Path) -> None:
    for name, at in (("a-old", 1e9), ("z-older", 1e8)):
        shutil.copytree(run, f"checkpoints/{name}")
        for path in Path(f"checkpoints/{name}").iterdir():
            os.utime(path, (at, at))
    for path in Path("checkpoints/a-old").glob("*.npz"):
        path.unlink()
    (Path("checkpoints/a-old") / "lock").touch()

    def names(*options: str) -> list[str]:
        found = listed(run_cli, *options)
        return [one["folder"].removeprefix("checkpoints/") for one in found]

    os.utime("checkpoints/a-old/lock", (1e9, 1e9))
    assert names() == ["corpus", "a-old", "z-older"]
    assert names("--sort", "name") == ["a-old", "corpus", "z-older"]
    assert names("--sort", "loss") == ["corpus", "z-older", "a-old"]
    assert names("checkpoints/z-older", "checkpoints") == ["corpus", "a-old", "z-older"]


def test_a_folder_without_runs_is_one_helpful_line(run_cli: Call, corpus: Path) -> None:
    for arguments in ((), (".",)):
        result = run_cli("runs", *arguments)
        assert (result.exit_code, result.stdout) == (0, "")
        [line] = result.stderr.splitlines()
        assert line.startswith("charrnn: no runs in ")
        assert line.endswith("; begin one with: charrnn train")
    assert listed(run_cli) == []


@pytest.mark.parametrize("name", ["nowhere", "corpus.txt", "x" * 300, "a\0b", ""])
def test_what_is_no_folder_is_one_line(name: str, run_cli: Call, corpus: Path) -> None:
    result = run_cli("runs", name)
    if name:
        assert result.exit_code in (2, 3)
        [line] = result.stderr.splitlines()
        assert line.startswith("charrnn: error: ")


def test_pairs_have_a_loss_per_symbol(run_cli: Call) -> None:
    small = ("--hidden", "4", "--steps", "2", "--workers", "1", "--quiet", "--backend", "numpy")
    assert run_cli("train", "--builtin", "vowels", *small).exit_code == 0
    [found] = listed(run_cli)
    assert found["unit"] == "symbol"
    assert "in nats per symbol (of pairs)" in run_cli("runs").stdout


def test_names_do_not_steer_the_terminal_and_lines_fit(
    run_cli: Call, run: Path, dangerous: frozenset[str]
) -> None:
    shutil.copytree(run, "checkpoints/[red]\x1b[31m\u202e" + "long name " * 6)
    shown = run_cli("runs").stdout
    assert not dangerous & set(shown)
    assert "[red]␛" in shown
    assert all(cell_len(line) <= 80 for line in shown.splitlines() if "--resume" not in line)


@pytest.mark.parametrize("size", [10, TAIL_BYTES, 5 * TAIL_BYTES])
def test_the_last_step_is_found_at_the_end_of_a_long_file(size: int) -> None:
    lines = [f'{{"step": {number}}}\n' for number in range(size // 10)]
    Path("metrics.jsonl").write_text("".join(lines) + "{broken\n[]\n", encoding="utf-8")
    assert last_logged_step(Path()) == len(lines) - 1
    assert last_logged_step(Path("nowhere")) is None


def test_sizes_ages_and_losses_are_short() -> None:
    assert [disk(n) for n in (0, 999, 1000, 12_345, 999_949_999, 10**10)] == [
        *("0 B", "999 B", "1.0 kB", "12 kB", "1000 MB", "10.0 GB"),
    ]
    assert [age(n) for n in (-5, 0, 59, 60, 3_599, 3_600, 86_400, 4e7)] == [
        *("0 s", "0 s", "59 s", "1 min", "59 min", "1 h", "1 d", "1 y"),
    ]
    assert [loss(n) for n in (None, 1.23456, 999.0, 5.6e7)] == [
        "-",
        "1.2346",
        "999.0000",
        "5.60e+07",
    ]
