"""`charrnn info`: what a checkpoint holds, for people and for programs."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.inference.model import Model

Call = Callable[..., Result]

KEYS = [
    "path",
    "step",
    "parameters",
    "model",
    "vocabulary",
    "corpus",
    "validation",
    "training",
    "progress",
    "finished",
    "arrays",
]


def test_json_holds_the_documented_keys(run_cli: Call, finished_run: Path, sentences: str) -> None:
    result = run_cli("info", finished_run, "--json")
    facts = json.loads(result.stdout)
    best = load_checkpoint(finished_run / "best.npz")
    assert result.stdout.count("\n") == 1
    assert list(facts) == KEYS
    assert facts["path"] == str(finished_run / "best.npz")
    assert facts["step"] == best.step
    assert facts["parameters"] == sum(array.size for array in best.parameters.values())
    assert facts["model"] == best.config.as_dict()
    assert facts["vocabulary"] == {
        "size": len(set(sentences)),
        "characters": "".join(sorted(set(sentences))),
        "as_bytes": False,
    }
    assert facts["corpus"]["characters"] == len(sentences)
    assert facts["corpus"]["name"] == "corpus"
    assert facts["arrays"]["W_hy"] == [8, len(set(sentences))]
    assert (facts["training"], facts["progress"], facts["finished"]) == (None, None, None)


def test_the_state_of_training_is_in_last(run_cli: Call, finished_run: Path) -> None:
    facts = json.loads(run_cli("info", finished_run / "last.npz", "--json").stdout)
    assert facts["training"]["steps"] == 20
    assert facts["progress"]["step"] == 20
    assert facts["finished"] is True
    assert facts["validation"]["nats_per_char"] == facts["progress"]["last_nats"]


def test_the_table_says_the_same_to_people(run_cli: Call, finished_run: Path) -> None:
    shown = run_cli("info", finished_run / "last.npz").stdout
    for fact in ("1 × 8 mlstm", "21 characters", "step 20 of 20", "muon", "nats", "sha256"):
        assert fact in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    usable = run_cli("info", finished_run).stdout
    assert "no training state" in usable
    listed = run_cli("info", finished_run, "--arrays").stdout
    with np.load(finished_run / "best.npz", allow_pickle=False) as arrays:
        for name in arrays.files:
            assert name == "metadata" or (name in listed and str(arrays[name].shape) in listed)


def test_without_a_path_the_newest_run_is_shown(run_cli: Call, finished_run: Path) -> None:
    for name in ("old", "new"):
        shutil.copytree(finished_run, f"checkpoints/{name}")
    os.utime("checkpoints/old/last.npz", (1000, 1000))
    facts = json.loads(run_cli("info", "--json").stdout)
    assert facts["path"] == "checkpoints/new/best.npz"


def test_hostile_vocabularies_and_names_are_made_visible(
    run_cli: Call, untrained: Callable[..., Model], dangerous: frozenset[str]
) -> None:
    name = "hostile\x1b[31m\u200b\n.npz"  # the last two are harmless, but would not be seen
    untrained("".join(sorted(dangerous)) + "[red]:sm").save(name)
    result = run_cli("info", name)
    assert result.exit_code == 0
    assert not dangerous & set(result.stdout)
    assert "checkpoint   hostile␛[31m<U+200B>␊.npz\n" in result.stdout
    assert "[red]:sm" in result.stdout.replace("\n", "").replace(" ", "")
    again = json.loads(run_cli("info", name, "--json").stdout)
    assert set(again["vocabulary"]["characters"]) == dangerous | set("[red]:sm")


def test_characters_that_cannot_be_seen_are_named(
    run_cli: Call, untrained: Callable[..., Model]
) -> None:
    hidden = "\u00a0\u00ad\u0301\u200b\u2028\ufe0f\ue000\U000e0041"
    untrained("ab\n\x1b" + hidden).save("hidden.npz")
    shown = run_cli("info", "hidden.npz").stdout
    assert "12 characters: ab␊␛" in shown
    assert not set(hidden) & set(shown)
    words = " ".join(shown.split())
    for name in ("U+00A0 NO-BREAK SPACE", "U+0301 COMBINING ACUTE ACCENT", "U+E000 private use"):
        assert name in words
    for character in hidden:
        assert f"U+{ord(character):04X}" in words


def test_thousands_of_characters_are_shown_in_part(
    run_cli: Call, untrained: Callable[..., Model]
) -> None:
    characters = "".join(map(chr, range(0x4E00, 0x4E00 + 6_000)))
    untrained(characters).save("han.npz")
    shown = run_cli("info", "han.npz").stdout
    assert len(shown) < 2_000
    words = " ".join(shown.split())
    assert "6,000 characters: 一" in words
    assert "and 5,700 more" in words
    facts = json.loads(run_cli("info", "han.npz", "--json").stdout)
    assert facts["vocabulary"]["characters"] == characters


def test_a_model_of_bytes_has_bytes(run_cli: Call, untrained: Callable[..., Model]) -> None:
    untrained("\nabc\xa9\xc3", as_bytes=True).save("bytes.npz")
    shown = run_cli("info", "bytes.npz").stdout
    assert "6 bytes: ␊abc, 0xA9, 0xC3" in shown
    assert "0 bytes" in shown
    assert "character" not in shown


@pytest.mark.parametrize("columns", ["15", "39", "80"])
def test_lines_in_a_pipe_have_no_blanks_at_their_ends(
    columns: str, run_cli: Call, finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    text = finished_run.parent / "corpus.txt"
    for command in (("info", finished_run), ("eval", finished_run, text)):
        lines = run_cli(*command).stdout.splitlines()
        assert lines == [line.rstrip() for line in lines]
        assert not any("…" in line for line in lines if "sha256" not in line)
    wide = run_cli("eval", finished_run, text, "--json").stdout
    nats = json.loads(wide)["nats_per_char"]
    assert f"{nats:.4f}" in run_cli("eval", finished_run, text).stdout
