"""`--bidirectional` through the command line: train, predict, eval, info, resume, inspect."""

import json
import os
import random
import re
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.data.layouts import LAYOUTS

Charrnn = Callable[..., Result]
TINY = ("--hidden", "8", "--workers", "1", "--eval-every", "30", "--lr", "0.1")
LAYOUT_NAMES = [name for name, one in LAYOUTS.items() if one.backward_use]
layout_names = pytest.mark.parametrize("layout", LAYOUT_NAMES)


def write_pairs(path: Path, layout: str) -> Path:
    """Write 120 pairs that a layout can learn."""
    rng = random.Random(5)
    texts = {"".join(rng.choice("abc") for _ in range(rng.randint(2, 9))) for _ in range(200)}
    answer: dict[str, Callable[[str], str]] = {
        "many-to-one": lambda text: f"begins with {text[0]}",
        "many-to-many": lambda text: text[-1] + text[0],
        "synced": lambda text: text[1:] + ".",
    }
    rows = [f"{text}\t{answer[layout](text)}\n" for text in sorted(texts)[:120]]
    path.write_text("".join(rows), encoding="utf-8")
    return path


@layout_names
def test_a_run_is_trained_used_and_shown(run_cli: Charrnn, empty_folder: Path, layout: str) -> None:
    pairs = write_pairs(empty_folder / "p.tsv", layout)
    words = ("--layout", layout, "--bidirectional", "--layers", "2", "--steps", "60")
    result = run_cli("train", pairs, *words, *TINY, "--quiet")
    assert result.exit_code == 0, result.stderr
    config = load_checkpoint(Path("checkpoints/p/best.npz")).config
    assert config.bidirectional == LAYOUTS[layout].backward_use
    search = ("--beam", "2") if layout == "many-to-many" else ()
    assert run_cli("predict", "checkpoints/p", "abc", *search).exit_code == 0
    assert run_cli("eval", "checkpoints/p", pairs).exit_code == 0
    facts = json.loads(run_cli("info", "checkpoints/p", "--json").stdout)
    assert facts["parameters"] == config.size
    assert facts["model"]["bidirectional"] == config.bidirectional
    assert "2 × 8 lstm, bidirectional, " in run_cli("info", "checkpoints/p").stdout
    for view in ((), ("--all",)):
        found = run_cli("inspect-gradients", "checkpoints/p", *view, "--json")
        assert found.exit_code == 0, found.stderr
        (shown,) = json.loads(found.stdout)["models"]
        lines = shown["profile"]["lines"]
        assert [line["state"] for line in lines] == ["c", "h", "c_reverse", "h_reverse"] * 2
        assert shown["jacobians"] == []
    screen = run_cli("inspect-gradients", "checkpoints/p", "--all").stdout
    assert "layer 1 c_reverse" in screen
    assert "characters back (reverse: further on)" in screen
    shown = json.loads(run_cli("inspect-gradients", "--show", "abcab", "--json").stdout)
    assert max(shown["influence"][0]["shares"]) == 1


@layout_names
def test_the_line_chosen_repeats_the_run(
    run_cli: Charrnn, empty_folder: Path, layout: str, assert_same: Callable[[Path, Path], None]
) -> None:
    pairs = write_pairs(empty_folder / "p.tsv", layout)
    option = "--bidirectional" if layout == "many-to-one" else "--no-bidirectional"  # no default
    result = run_cli("train", pairs, "--layout", layout, option, "--steps", "30", *TINY)
    assert result.exit_code == 0, result.stderr
    screen = " ".join(result.stderr.split())
    both = ", bidirectional" if option == "--bidirectional" else ""
    assert re.search(rf"model 1 × 8 lstm{both}, [\d,]+ parameters", screen)
    found = re.search(r"chosen (.*?--seed 0)", screen)
    assert found is not None
    chosen = shlex.split(found[1])
    assert option in chosen
    again = run_cli("train", pairs, *chosen, "--eval-every", "30", "--out", "again", "--quiet")
    assert again.exit_code == 0, again.stderr
    assert_same(Path("checkpoints/p"), Path("again"))


def test_an_interrupted_run_goes_on_in_both_directions(
    run_cli: Charrnn, empty_folder: Path, at_step: Any, assert_same: Callable[[Path, Path], None]
) -> None:
    pairs = write_pairs(empty_folder / "p.tsv", "many-to-many")
    words = (pairs, "--layout", "many-to-many", "--attention", "0", "--steps", "60", *TINY)
    assert run_cli("train", *words, "--out", "whole", "--quiet").exit_code == 0
    at_step(25, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert run_cli("train", *words, "--out", "cut").exit_code == 130
    resumed = run_cli("train", "--resume", "cut", "--quiet")
    assert resumed.exit_code == 0, resumed.stderr
    assert_same(Path("whole"), Path("cut"))


def test_a_new_run_keeps_the_directions_of_its_checkpoint(
    run_cli: Charrnn, empty_folder: Path
) -> None:
    pairs = write_pairs(empty_folder / "p.tsv", "many-to-one")
    words = ("--layout", "many-to-one", "--steps", "5", "--workers", "1", "--quiet")
    for out, option in (("both", "--bidirectional"), ("one", "--no-bidirectional")):
        trained = run_cli("train", pairs, *words, "--hidden", "8", option, "--out", out)
        assert trained.exit_code == 0, trained.stderr
        again = run_cli("train", pairs, *words, "--init-from", out, "--out", f"{out}-2")
        assert again.exit_code == 0, again.stderr
        config = load_checkpoint(Path(f"{out}-2/best.npz")).config
        assert config.bidirectional == ("last" if out == "both" else None)
    for out, option in (("both", "--no-bidirectional"), ("one", "--bidirectional")):
        refused = run_cli("train", pairs, *words, "--init-from", out, option)
        assert refused.exit_code == 2
        assert f"{option} does not fit the checkpoint" in refused.stderr
        assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("corpus.txt",), "a text is predicted from its beginning"),
        (("--builtin", "python-docs"), "a text is predicted from its beginning"),
        (("corpus.txt", "--layout", "one-to-one"), "an input of one-to-one is one symbol"),
        (("corpus.txt", "--layout", "one-to-many"), "an input of one-to-many is one symbol"),
    ],
)
def test_what_has_no_whole_input_refuses_it_in_one_line(
    run_cli: Charrnn, corpus: Path, words: tuple[str, ...], problem: str
) -> None:
    refused = run_cli("train", *words, "--bidirectional")
    assert refused.exit_code == 2
    assert problem in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not Path("checkpoints").exists()


def test_a_text_may_say_that_it_is_read_in_one_direction(run_cli: Charrnn, corpus: Path) -> None:
    words = ("--no-bidirectional", "--steps", "2", "--workers", "1", "--quiet")
    result = run_cli("train", corpus, *TINY[:2], *words)
    assert result.exit_code == 0, result.stderr
