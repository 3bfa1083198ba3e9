"""Plan of a sweep: the words of its trials."""

from pathlib import Path

from charrnn.cli.sweep.plan import SweepPlan


def plan(**reading: str) -> SweepPlan:
    options = {f"--{name}": text for name, text in reading.items()}
    points = ({"--lr": "0.1"}, {"--lr": "0.2"})
    fixed = {"--minutes": "30"}
    return SweepPlan(("a.txt",), options, "part.txt", "", 0.1, fixed, ("--lr",), points)


def test_trials_train_no_teachers(tmp_path: Path) -> None:
    for number, trial in enumerate(plan().trials(tmp_path), 1):
        part = str((tmp_path / "part.txt").resolve())
        alone = ("--train-teachers", "0")
        assert trial.words == (part, *alone, "--minutes", "30", "--lr", f"0.{number}")


def test_trials_on_pairs_have_no_option_of_texts(tmp_path: Path) -> None:
    for trial in plan(layout="many-to-one").trials(tmp_path):
        assert "--train-teachers" not in trial.words
