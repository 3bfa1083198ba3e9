"""Advice: each message that says "try …" is provoked, its advice followed, and the case cured.

`CASES` holds, for each message, a command that provokes it and the command that does what it says.
Every error in the source that gives advice is either provoked by a case, or listed with a reason.
"""

import ast
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save_file
from typer.testing import CliRunner, Result

import charrnn
from charrnn import errors
from charrnn.cli.app import app

ROOT = Path(charrnn.__file__).parent
CLASSES = {name for name in vars(errors) if name.endswith("Error")}


@dataclass(frozen=True)
class Case:
    """A command that fails, the advice in its message, and the command that follows the advice."""

    command: str
    message: str
    advice: str
    cure: str
    code: int = 0
    """Exit code of the cure."""


T = "--hidden 4 --steps 2 --workers 1 --backend numpy -q --batch-size 2 --seq-length 8"
P = "--hidden 4 --steps 2 --workers 1 --backend numpy -q"
I = "--lags 3 --windows 2"  # noqa: E741  # beside T and P
FRESH = f"--text corpus.txt --hidden 4 {I}"

S = "--grid hidden=4 --steps 2 --jobs 1 --set backend=numpy --set batch-size=2 --set seq-length=8"
LATER = "sweep nowhere.txt --grid lr=0.05,0.1"
"""A sweep whose settings are right, so that it comes to the reading of its text."""


def sweep_case(words: str, message: str, advice: str, cure: str = LATER) -> Case:
    """Return the case of a sweep with wrong settings."""
    return Case(f"sweep corpus.txt {words}", message, advice, cure, 4)


CASES = [
    Case(
        f"train corpus.txt {T} --cell gnu",
        "no cell called",
        "gru",
        f"train corpus.txt {T} --cell gru",
    ),
    Case(
        f"train corpus.txt {T} --optimizer adamx",
        "no optimiser called",
        "adam",
        f"train corpus.txt {T} --optimizer adam",
    ),
    Case(
        f"train corpus.txt {T} --preset smal",
        "no preset called",
        "small",
        f"train corpus.txt {T} --preset small",
    ),
    Case(
        f"train corpus.txt {T} --recurrent-init normal:much",
        "is no scale",
        "for example normal:0.01",
        f"train corpus.txt {T} --recurrent-init normal:0.01",
    ),
    Case(
        f"train corpus.txt {T} --recurrent-init orthogonal:2",
        "takes no scale",
        "--recurrent-gain",
        f"train corpus.txt {T} --recurrent-init orthogonal --recurrent-gain 2",
    ),
    *(
        Case(
            f"train corpus.txt {T} {flag} {value}",
            f"{flag} is {value}",
            f"{flag} {usual}",
            f"train corpus.txt {T} {flag} {usual}",
        )
        for flag, value, usual in (
            ("--lr", "1e+308", "0.1"),
            ("--recurrent-gain", "1e+39", "1"),
            ("--forget-bias", "1e+300", "1"),
            ("--weight-decay", "inf", "0.002"),
            ("--clip-norm", "1e-320", "0.25"),
            ("--seed", "-1", "0"),
            ("--warmup-steps", "-1", "100"),
            ("--dropout", "1.0", "0.1"),
            ("--layers", "100000", "1"),
            ("--eval-every", "0", "1"),
            ("--workers", "0", "1"),
        )
    ),
    Case(
        "train corpus.txt --hidden 65536 --layers 1000 --steps 2",
        "do not fit into a checkpoint",
        "a smaller --hidden",
        f"train corpus.txt {T}",
    ),
    Case(
        "inspect-gradients --text corpus.txt --cells lstm --hidden 60000",
        "GB of memory",
        "a smaller --hidden",
        f"inspect-gradients {FRESH}",
    ),
    Case("sweep corpus.txt", "no option to search over", "--grid hidden=64,128", f"{LATER}", 4),
    sweep_case(
        "--grid hidden=4 --random 0", "--random is 0", "--random 10", f"{LATER} --random 10"
    ),
    sweep_case("--range lr=0.1:1", "for a random search", "--random 10", f"{LATER} --random 10"),
    sweep_case("--grid lr=0.1,,1", "has an empty value", "--grid lr=0.05,0.1"),
    sweep_case("--grid lr=1 --set lr=2", "lr is given twice", "one of them"),
    sweep_case(
        "--grid lr", "is not NAME=VALUE", "--grid lr=0.1", "sweep nowhere.txt --grid lr=0.1"
    ),
    sweep_case("--grid lrr=1", "is no option of train", "--grid lr=VALUE"),
    sweep_case("--set min-count=2 --grid lr=1", "min-count is refused", "another option"),
    sweep_case(
        "--grid encoding=utf-8,latin-1",
        "with different values",
        "--set encoding=VALUE",
        f"{LATER} --set encoding=utf-8",
    ),
    sweep_case(
        "--grid lr=1 --set bytes=perhaps",
        "must be true or false",
        "--set bytes=true",
        f"{LATER} --set bytes=true",
    ),
    sweep_case("--grid hidden=many", "trial 1 (hidden=many): ", "charrnn train --help"),
    sweep_case("--grid lr=1e99", "trial 1 (lr=1e99): ", "charrnn train --help"),
    *(
        sweep_case(f"--random 2 --range {wrong}", message, advice, f"{LATER} --random 2")
        for wrong, message, advice in (
            ("cell=1:2", "its values are no numbers", "--grid cell=VALUE,VALUE"),
            ("lr=1:2:lag", "ends in 'lag'", "--range lr=LOW:HIGH:log"),
            ("lr=1:two", "has no two numbers", "--range lr=LOW:HIGH"),
            ("lr=2:1", "does not go from a number", "LOW:HIGH"),
            ("lr=0:1:log", "begins at 0 or below", "LOW:HIGH without :log"),
            ("hidden=4.2:4.8", "holds no whole number", "a wider range"),
        )
    ),
    sweep_case("--random 1001 --grid lr=1", "--random is 1001", "--random 10"),
    sweep_case(
        f"--grid lr={','.join(map(str, range(1, 1002)))}", "are more than 1,000", "fewer values"
    ),
    sweep_case("--grid lr=1 --out /", "is no folder for a sweep", "--out DIR"),
    sweep_case("--grid lr=1 --steps 1 --epochs 1", "contradict each other", "one of them"),
    sweep_case("--grid lr=1 --hold-out 0.9", "--hold-out is 0.9", "--hold-out 0.1"),
    sweep_case("--grid lr=1 --json --csv", "contradict each other", "one of them"),
    sweep_case(
        "--grid lr=1 --set val-fraction=0",
        "without validation",
        "--set val-fraction=0.1",
        f"{LATER} --set val-fraction=0.1",
    ),
    Case(
        "sweep --builtin vowels --grid seed=1,2",
        "pairs are held out by seed",
        "--set seed=1",
        "sweep nowhere.tsv --set layout=many-to-one --set seed=1 --grid lr=0.1",
        4,
    ),
    Case(
        f"sweep corpus.txt {S} --resume swept",
        "is for a sweep that has its settings",
        "it without",
        "sweep --resume swept",
    ),
    Case("sweep --show run", "no sweep in", "the folder of one", "sweep --show swept"),
    sweep_case("--grid lr=1 --backend dusk", "no backend called 'dusk'", "dask"),
    sweep_case("--grid lr=1 --backend dask", "needs a scheduler", "--scheduler tcp://HOST:PORT"),
    sweep_case(
        "--grid lr=1 --scheduler tcp://127.0.0.1:9", "is for --backend dask", "--backend dask"
    ),
    Case(
        "ensemble --resume swept",
        "is of charrnn sweep",
        "charrnn sweep --resume",
        "sweep --resume swept",
    ),
    Case(
        "ensemble --builtin vowels",
        "these are pairs",
        "charrnn sweep",
        "sweep nowhere.tsv --set layout=many-to-one --grid seed=1",
        2,
    ),
    Case(
        "ensemble corpus.txt --members 1",
        "--members is 1",
        "--members 4",
        "ensemble nowhere.txt --members 4",
        4,
    ),
    Case(
        "ensemble corpus.txt --set seed=x",
        "--set seed is 'x'",
        "--set seed 0",
        "ensemble nowhere.txt --set seed=0",
        4,
    ),
    Case("sweep --show torn", "is damaged", "a new sweep", f"sweep corpus.txt {S}"),
    Case("sweep --resume changed", "is not what the sweep began with", "a new sweep", ""),
    Case("sweep --resume lost", "cannot be read", "a new sweep", ""),
    Case(
        f"sweep corpus.txt {S.replace('hidden=4', 'lr=1e30')}",
        "no trial has a result",
        "other settings",
        "",
    ),
    Case(
        f"train corpus.txt {T} --out /", "no folder for a run", "--out DIR", f"train corpus.txt {T}"
    ),
    Case(
        f"train corpus.txt {T} --name a/b",
        "is not a plain name",
        "--out DIR for a path",
        f"train corpus.txt {T} --out a/b",
    ),
    Case(
        f"train corpus.txt {T} --sample-every 1",
        "--quiet none",
        "one of them",
        f"train corpus.txt {T} --sample-every 0",
    ),
    Case(
        f"train corpus.txt {T} --val-fraction 0 --patience 3",
        "--patience needs validations",
        "without one of them",
        f"train corpus.txt {T} --patience 3",
    ),
    Case(
        f"train corpus.txt {T} --cell gru --forget-bias 2",
        "--forget-bias is for an lstm",
        "without it",
        f"train corpus.txt {T} --cell gru",
    ),
    Case(
        "train corpus.txt --init-from run --steps 2 -q --recurrent-init normal",
        "--recurrent-init has no effect",
        "without it",
        "train corpus.txt --init-from run --steps 2 -q",
    ),
    Case(
        "export run --to safetensors -o ''",
        "--output is not the name of a file",
        "--output FILE",
        "export run --to safetensors -o file",
    ),
    Case(
        "export run --to safetensors -o corpus.txt",
        "corpus.txt exists",
        "another --output",
        "export run --to safetensors -o other.safetensors",
    ),
    Case(
        "import run.safetensors -o model.bin",
        "a checkpoint ends in .npz, unlike model.bin",
        "--output FILE.npz",
        "import run.safetensors -o model.npz",
    ),
    Case(
        "combine run --ngrams 3 -o model.bin",
        "a checkpoint ends in .npz, unlike model.bin",
        "--output FILE.npz",
        "combine run --ngrams 3 -o model.npz",
    ),
    Case(
        "combine mixture.npz --member 1 --ngrams 3 -o one.npz",
        "--member takes a network out",
        "it alone",
        "combine mixture.npz --member 1 -o one.npz",
    ),
    Case(
        "combine mixture.npz run --member 1 -o one.npz",
        "--member is for one mixture",
        "the path of one",
        "combine mixture.npz --member 1 -o one.npz",
    ),
    Case(
        "combine run --member 1 -o one.npz",
        "is no mixture, but a single network",
        "a mixture",
        "combine mixture.npz --member 1 -o one.npz",
    ),
    Case(
        "combine mixture.npz --member 2 -o one.npz",
        "--member 2 is not within 1 and 1",
        "--member 1",
        "combine mixture.npz --member 1 -o one.npz",
    ),
    Case(
        "combine run --text corpus.txt -o m.npz",
        "--text is for --ngrams",
        "--ngrams 8",
        "combine run --text corpus.txt --ngrams 8 -o m.npz",
    ),
    Case(
        "combine run -o m.npz",
        "one network alone is no mixture",
        "another run, or --ngrams 8",
        "combine run twin -o m.npz",
    ),
    Case(
        "combine run run -o m.npz",
        "is named twice",
        "another one",
        "combine run twin -o m.npz",
    ),
    Case(
        "combine run half --ngrams 3 -o m.npz",
        "was trained on another text, or another part of it",
        "a mixture without --ngrams",
        "combine run half -o m.npz",
    ),
    Case(
        "combine alone/best.npz --ngrams 3 -o m.npz",
        "where the text was",
        "--text FILE",
        "combine alone/best.npz --ngrams 3 --text corpus.txt -o m.npz",
    ),
    Case(
        "export mixture.npz --to safetensors",
        "is a mixture, and this needs a single network",
        "charrnn combine mixture.npz --member 1 --output one.npz",
        "combine mixture.npz --member 1 --output one.npz",
    ),
    Case(
        "eval mixture.npz corpus.txt --dynamic",
        "--dynamic trains one network",
        "it without",
        "eval mixture.npz corpus.txt",
    ),
    Case(
        "import gone.safetensors",
        "no file gone.safetensors",
        "another FILE",
        "import run.safetensors",
    ),
    Case(
        "import empty -o model.npz",
        "empty is a directory",
        "another FILE",
        "import run.safetensors",
    ),
    Case(
        "import bare.safetensors",
        "bare.safetensors has no vocabulary",
        "--vocabulary FILE",
        "import bare.safetensors --vocabulary characters.json",
    ),
    Case(
        "import bare.safetensors --vocabulary broken.npz",
        "broken.npz is no vocabulary",
        '--vocabulary FILE with ["a", "b"]',
        "import bare.safetensors --vocabulary characters.json",
    ),
    Case(
        "import bare.safetensors --vocabulary latin.json",
        "latin.json is not UTF-8",
        "--vocabulary FILE",
        "import bare.safetensors --vocabulary characters.json",
    ),
    Case(
        "report run --out corpus.txt", "is no report", "another --out", "report run --out new.html"
    ),
    Case("report run --out no/x", "no folder no", "another --out", "report run --out new.html"),
    Case("report run --out empty", "is a directory", "another --out", "report run --out new.html"),
    Case(
        f"plot {' '.join(map(str, range(101)))}",
        "are too many for one plot",
        "up to 100",
        "plot run",
    ),
    Case(
        "train --like run/best.npz",
        "holds no settings of training",
        "--like RUN with its last.npz",
        "train --like run/last.npz --quiet",
    ),
    Case(
        "train --like run --preset small",
        "and --preset others",
        "one of them",
        "train --like run --quiet",
    ),
    Case("plot nowhere", "no metrics.jsonl in", "the folder of a run", "plot run"),
    Case("runs nowhere", "cannot read the folder", "another folder", "runs ."),
    Case("info empty", "no checkpoint in the folder", "the path of an .npz", "info run/last.npz"),
    Case(
        f"train corpus.txt {T} --minutes 1",
        "give exactly one of",
        "--minutes 3",
        f"train corpus.txt {T.replace('--steps 2', '--minutes 0.02')}",
    ),
    Case(
        f"train corpus.txt {T} --hidden many",
        "must be an integer",
        "--hidden 1",
        f"train corpus.txt {T} --hidden 1",
    ),
    Case(f"train corpus.txt {T} --hiden 3", "No such option", "--hidden", f"train corpus.txt {T}"),
    Case("train --xyz", "No such option", "charrnn train --help", "train --help"),
    Case(
        "sample run --temperatur 1",
        "No such option",
        "--temperature",
        "sample run --temperature 1 --length 3",
    ),
    Case("inof run", "No such command", "charrnn info", "info run"),
    Case(
        "novelty alone/best.npz",
        "nothing in 'alone' says where the text was",
        "--text FILE with the text of the run",
        "novelty alone/best.npz --text corpus.txt --samples 2 --length 20",
    ),
    Case(
        "novelty run --samples 1000 --length 2001",
        "is more than 2,000,000 characters",
        "fewer --samples",
        "novelty run --samples 2 --length 2001",
    ),
    Case("info run run", "unexpected extra", "charrnn info --help", "info --help"),
    Case(
        f"train corpus.txt {T} --out a --name b",
        "--out and --name contradict",
        "one of them",
        f"train corpus.txt {T} --out a",
    ),
    Case(
        f"train corpus.txt --builtin france {T}",
        "files and --builtin contradict",
        "one of them",
        f"train corpus.txt {T}",
    ),
    Case(
        f"train corpus.txt {T} --bytes --normalize nfc",
        "bytes have no normal form",
        "only one of",
        f"train corpus.txt {T} --bytes",
    ),
    Case(
        f"train corpus.txt {T} --encoding utf-9",
        "no text encoding",
        "utf-8",
        f"train corpus.txt {T} --encoding utf-8",
    ),
    Case(
        f"train corpus.txt {T} --min-count 0",
        "--min-count",
        "1",
        f"train corpus.txt {T} --min-count 1",
    ),
    Case(
        f"train corpus.txt {T} --val-fraction 0.9",
        "--val-fraction",
        "0.1",
        f"train corpus.txt {T} --val-fraction 0.1",
    ),
    Case(
        f"train --builtin vowels {P} --preset min-char-rnn",
        "is for texts",
        "--preset small",
        f"train --builtin vowels {P} --preset small",
    ),
    Case(
        f"train --builtin vowels {P} --min-count 2",
        "is for texts",
        "without it",
        f"train --builtin vowels {P}",
    ),
    Case(
        f"train --layout many-to-one {P}",
        "needs pairs",
        "a file, or --builtin ",
        f"train --builtin languages {P}",
    ),
    Case(
        f"train nowhere.txt {T}",
        "there is no file",
        "--builtin python-docs",
        f"train --builtin python-docs {T} --val-fraction 0.001",
    ),
    Case(
        f"train corpus.txt {T} --init-from pairs",
        "is a model of pairs",
        "--init-from with a model of a text",
        f"train corpus.txt {T} --init-from run",
    ),
    Case(
        f"train --builtin vowels {P} --init-from run",
        "is a model of a text",
        "--init-from with a model of pairs",
        f"train --builtin vowels {P} --init-from pairs",
    ),
    Case(
        "train --resume run --lr 1",
        "keeps the run's own settings",
        "--init-from for a new run",
        f"train corpus.txt {T} --init-from run --lr 1",
    ),
    Case(
        f"train corpus.txt {T} --hidden 9 --init-from run",
        "does not fit the checkpoint",
        "without it",
        f"train corpus.txt {T} --init-from run",
    ),
    Case(
        f"train corpus.txt {T} --bidirectional",
        "is predicted from its beginning",
        "without it",
        f"train corpus.txt {T}",
    ),
    Case(
        f"train --builtin languages --layout one-to-many {P} --bidirectional",
        "an input of one-to-many is one symbol",
        "without it",
        f"train --builtin languages --layout one-to-many {P}",
    ),
    Case(
        f"train --builtin languages --layout many-to-one {P} --networks 2 --init-from pairs",
        "--networks trains from several initial weights",
        "without it",
        f"train --builtin languages --layout many-to-one {P} --networks 2",
    ),
    Case(
        f"train corpus.txt {T} --generated 512",
        "--generated is how much teachers generate, and there are none",
        "--teacher CKPT",
        f"train corpus.txt {T} --generated 512 --teacher run",
    ),
    Case(
        f"train corpus.txt {T} --generated 1024",
        "--generated is how much teachers generate, and there are none",
        "--train-teachers 4",
        f"train corpus.txt {T} --generated 512 --train-teachers 1",
    ),
    Case(
        f"train corpus.txt {T} --train-teachers 1 --teacher run",
        "--teacher names the teachers, and --train-teachers trains others",
        "one of them",
        f"train corpus.txt {T} --generated 512 --teacher run",
    ),
    Case(
        f"train corpus.txt {T} --train-teachers 1 --init-from run",
        "--train-teachers trains from new weights",
        "without it",
        "train corpus.txt --steps 2 --workers 1 --backend numpy -q --init-from run",
    ),
    Case(
        f"train - {T} --train-teachers 1",
        "--train-teachers reads the text several times",
        "a file",
        f"train corpus.txt {T}",
    ),
    Case(
        f"train corpus.txt {T} --generated 512 --teacher run --label-smoothing 0.1",
        "--label-smoothing smooths the characters of a text",
        "without it",
        f"train corpus.txt {T} --generated 512 --teacher run",
    ),
    Case(
        f"train corpus.txt {T} --generated 512 --teacher run --teacher run",
        "--teacher has",
        "another one",
        f"train corpus.txt {T} --generated 512 --teacher run --teacher twin",
    ),
    Case(
        f"train greek.txt {T} --generated 512 --teacher run",
        "has another vocabulary than this text",
        "a teacher trained on this text",
        f"train corpus.txt {T} --generated 512 --teacher run",
    ),
    Case(
        f"train corpus.txt {T} --networks 3",
        "--networks is for pairs, and this is a text",
        "charrnn ensemble corpus.txt --members 3",
        f"{LATER.replace('sweep', 'ensemble').partition(' --grid')[0]} --members 3",
        4,
    ),
    Case(
        f"train --builtin vowels {P} --networks 2 --network-plans nine",
        "it must be UNTIL:STEPS,…,STEPS",
        "--network-plans 900",
        f"train --builtin vowels {P} --networks 2 --network-plans 9",
    ),
    Case(
        f"train --builtin vowels {P} --networks 3 --network-plans 9",
        "has 1 plan, and --networks 3 needs 2",
        "--networks 2",
        f"train --builtin vowels {P} --networks 2 --network-plans 9",
    ),
    Case(
        f"train --builtin vowels {P.replace('--steps 2 ', '')} --networks 2 --network-plans 2",
        "--network-plans repeats a run that has --steps",
        "--steps N",
        f"train --builtin vowels {P} --networks 2 --network-plans 2",
    ),
    Case(
        f"train turned.tsv --layout synced {P} --attention 1",
        "--attention needs inputs that are read in both directions",
        "--layout many-to-many --bidirectional",
        f"train turned.tsv --layout many-to-many --bidirectional {P} --attention 1",
    ),
    Case(
        f"train turned.tsv --layout many-to-many {P} --attention 3",
        "--attention 3 does not divide --hidden 4",
        "--attention 1",
        f"train turned.tsv --layout many-to-many {P} --attention 1",
    ),
    Case(
        f"train corpus.txt {T} --ngrams 3",
        "--ngrams is for labels; n-grams of a text are mixed into a trained network",
        "charrnn combine RUN --ngrams 3 after training",
        "combine run --ngrams 3 -o later.npz",
    ),
    Case(
        f"train --builtin vowels {P} --balance 0.5",
        "--balance is for labels",
        "without it",
        f"train --builtin vowels {P}",
    ),
    Case(
        f"train --builtin vowels {P} --init-from pairs --no-bidirectional",
        "does not fit the checkpoint's cells",
        "without it",
        f"train --builtin vowels {P} --init-from pairs",
    ),
    Case(
        f"train corpus.txt {T} --bytes --init-from run",
        "do not mix",
        "--bytes as the old run did",
        f"train corpus.txt {T} --init-from run",
    ),
    Case("sample", "no run under", "a path", "sample run --length 3"),
    Case("sample pairs", "not on a text", "charrnn predict", "predict pairs cat"),
    Case("predict run cat", "not on pairs", "charrnn sample", "sample run --length 3"),
    Case(
        "sample run --prime a --prime-file corpus.txt",
        "contradict each other",
        "one of them",
        "sample run --prime a --length 3",
    ),
    Case("eval run", "no text to score", "charrnn eval CHECKPOINT FILE", "eval run corpus.txt"),
    Case(f"inspect-gradients run {I} --gaps 5", "does not use --gaps", "--gaps with --probe", ""),
    Case(
        "inspect-gradients run --show the --lags 5",
        "does not use --lags",
        "without --lags",
        "inspect-gradients run --show the",
    ),
    Case(
        "inspect-gradients run --show the --plot a.png",
        "has neither a plot nor a verdict",
        "without --plot",
        "inspect-gradients run --show the",
    ),
    Case(
        "inspect-gradients run --live --json",
        "--live does not use --json",
        "the run's metrics.jsonl itself",
        "inspect-gradients run --live",
    ),
    Case(
        "inspect-gradients run --show the --context",
        "contradict each other",
        "one of them",
        "inspect-gradients run --show the",
    ),
    Case(
        f"inspect-gradients run {I} --json --csv",
        "--json and --csv contradict",
        "one of them",
        f"inspect-gradients run {I} --csv",
    ),
    Case(
        f"inspect-gradients run {I} --encoding utf-8",
        "--encoding is for the file of --text",
        "--text FILE with it",
        f"inspect-gradients run {I} --encoding utf-8 --text corpus.txt",
    ),
    Case(
        f"inspect-gradients bytes {I} --text corpus.txt --encoding utf-8",
        "this model reads bytes",
        "without it",
        f"inspect-gradients bytes {I} --text corpus.txt",
    ),
    Case(
        f"inspect-gradients run {I} --hidden 5",
        "cannot be changed by options",
        "--at-init without a checkpoint",
        f"inspect-gradients --at-init {FRESH}",
    ),
    Case(
        "inspect-gradients pairs --context",
        "--context is for models of texts",
        "--show TEXT with a model of pairs",
        "inspect-gradients pairs --show cat",
    ),
    Case(
        "inspect-gradients run --show the --text corpus.txt",
        "does not read --text",
        "without --text",
        "inspect-gradients run --show the",
    ),
    Case(
        f"inspect-gradients run {I} --text greek.txt",
        "knows no character",
        "another --text",
        f"inspect-gradients run {I} --text corpus.txt",
    ),
    Case(
        f"inspect-gradients {FRESH} --cells gru --forget-bias 2",
        "with a forget gate",
        "--cells lstm",
        f"inspect-gradients {FRESH} --cells lstm --forget-bias 2",
    ),
    Case(
        f"inspect-gradients run {I} --fail-on vanish",
        "no verdict called",
        "vanishing",
        f"inspect-gradients run {I} --fail-on nonfinite",
    ),
    Case(
        f"inspect-gradients run {I} --plot a.jpg",
        "its ending names no format",
        ".png, .svg or .pdf",
        f"inspect-gradients run {I} --plot a.svg",
    ),
    Case(
        f"inspect-gradients run {I} --plot none/a.svg",
        "cannot write",
        "another place for --plot",
        f"inspect-gradients run {I} --plot a.svg",
    ),
    Case(
        f"inspect-gradients {I} --text ab.txt --hidden 4",
        "no past to look back on",
        "a text of 3 or more",
        f"inspect-gradients {FRESH}",
    ),
    Case(
        "inspect-gradients run --show ''",
        "no character to show",
        "a longer text",
        "inspect-gradients run --show the",
    ),
    Case(
        "inspect-gradients --live run pairs",
        "one run at a time",
        "--live with the folder of one run",
        "inspect-gradients --live run",
    ),
    Case(
        "inspect-gradients --live empty",
        "no metrics.jsonl in",
        "the folder of a run",
        "inspect-gradients --live run",
    ),
    Case("sample run twin", "2 checkpoints are named", "--ensemble", "sample --ensemble run twin"),
    Case(
        "sample --ensemble run",
        "at least two checkpoints, and one is named",
        "--ensemble A B",
        "sample --ensemble run twin",
    ),
    Case(
        "sample --ensemble run twin run",
        "has run/best.npz twice",
        "another one",
        "sample --ensemble run twin",
    ),
    *(
        Case(
            f"sample --ensemble run {other}",
            message,
            "models trained on one text",
            "sample --ensemble run twin",
        )
        for other, message in (
            ("bytes", "a model of characters and bytes/best.npz of bytes"),
            ("greek", "have different vocabularies"),
            ("normal", "in different Unicode normal forms"),
        )
    ),
    Case(
        "sample --ensemble run pairs",
        "pairs/best.npz: this model was trained on pairs",
        "charrnn predict",
        "sample --ensemble run twin",
    ),
    Case(
        "eval --ensemble run twin corpus.txt --dynamic",
        "--dynamic is for a single model",
        "it without --ensemble",
        "eval run corpus.txt --dynamic --no-baselines",
    ),
    Case(
        "eval run corpus.txt --no-baselines --csv table.txt",
        "--csv is for a file that ends in .csv",
        "--csv surprisal.csv",
        "eval run corpus.txt --no-baselines --csv surprisal.csv",
    ),
    Case(
        "eval run corpus.txt --no-baselines --surprise --json",
        "--surprise and --json both write to stdout",
        "--csv FILE with --json",
        "eval run corpus.txt --no-baselines --csv a.csv --json",
    ),
    Case(
        "eval run corpus.txt --no-baselines --html missing/page.html",
        "cannot write missing/page.html",
        "another file for --html",
        "eval run corpus.txt --no-baselines --html page.html",
    ),
    *(
        Case(
            f"train corpus.txt {T} --earlier-plans {plans}",
            f"--earlier-plans has '{plans}'",
            "--earlier-plans 300:1500",
            f"train corpus.txt {T} --earlier-plans 300:1500",
        )
        for plans in ("300", "30:15")
    ),
    Case(
        "compress run",
        "no file follows it",
        "charrnn compress CHECKPOINT FILE",
        "compress run corpus.txt --output packed",
    ),
    Case(
        "compress run corpus.txt --output none/packed",
        "no folder none",
        "another --output",
        "compress run corpus.txt --output packed",
    ),
    Case(
        f"compress run corpus.txt --output {'x' * 300}",
        "cannot write",
        "another --output",
        "compress run corpus.txt --output packed",
    ),
    Case(
        "compress run corpus.txt --output /dev/null",
        "/dev/null is no file to write to",
        "another --output",
        "compress run corpus.txt --output packed",
    ),
    Case(
        "compress run corpus.txt --output run/best.npz",
        "run/best.npz exists",
        "--force",
        "compress run corpus.txt --output packed --force",
    ),
    Case(
        "compress run corpus.txt --output ''",
        "--output is empty",
        "--output FILE",
        "compress run corpus.txt --output packed",
    ),
    Case(
        "compress run corpus.txt --output - --json",
        "both for stdout",
        "--output FILE",
        "compress run corpus.txt --output packed --json",
    ),
    Case(
        "compress bytes corpus.txt --encoding utf-16",
        "not for a model of bytes",
        "without it",
        "compress bytes corpus.txt --output packed",
    ),
    Case(
        "compress run greek.txt",
        "the vocabulary lacks",
        "a model of bytes, from charrnn train --bytes",
        "compress bytes corpus.txt --output packed",
    ),
    Case("compress run empty", "is a checkpoint or a folder", "charrnn compress", ""),
    Case(
        "decompress run corpus.txt --output out",
        "is no file of charrnn compress",
        "a file that it wrote",
        "decompress run packed.charrnn --output out",
    ),
    Case(
        "decompress run cut.charrnn",
        "is truncated or altered",
        "an undamaged copy",
        "decompress run packed.charrnn --output out",
    ),
    Case(
        "decompress run corpus.txt",
        "does not end in .charrnn",
        "--output FILE",
        "decompress run packed.charrnn --output out",
    ),
    Case(
        "decompress run packed.charrnn --output - --json",
        "both for stdout",
        "--output FILE",
        "decompress run packed.charrnn --output out --json",
    ),
    Case(
        "decompress twin packed.charrnn --output out",
        "is not among the checkpoints named",
        "that checkpoint",
        "decompress run packed.charrnn --output out",
    ),
    Case(
        "decompress packed.charrnn --output out",
        "is not under checkpoints",
        "the path of that checkpoint",
        "decompress run packed.charrnn --output out",
    ),
    Case("inspect-gradients --live", "no run under", "charrnn train in another terminal", ""),
    Case("inspect-gradients --probe a b", "one task at a time", "--probe france", ""),
    Case("inspect-gradients --probe --gaps few", "is not a list of gaps", "--gaps 5,20,80", ""),
    Case(
        f"train corpus.txt {T} --out corpus.txt/x",
        "cannot make the folder",
        "--out DIR",
        f"train corpus.txt {T} --out d",
    ),
    Case("train --resume empty", "to resume from", "another run", "train --resume run"),
    Case("inspect-text ab.txt", "too few", "a longer text", "inspect-text corpus.txt"),
    Case(
        "neurons run ab.txt",
        "2 characters are too few for correlations",
        "--unit N",
        "neurons run ab.txt --unit 0",
    ),
    Case(
        "neurons run corpus.txt --state x",
        "the cell mlstm has no state 'x'",
        "--state c",
        "neurons run corpus.txt --state c",
    ),
    Case(
        "neurons run corpus.txt --span 5:5",
        "the span 5:5 is not a part of",
        "a span within 0:",
        "neurons run corpus.txt --span 0:5",
    ),
    Case(
        "neurons run corpus.txt --span zebra",
        "--span 'zebra' does not occur",
        "positions such as --span 20:30",
        "neurons run corpus.txt --span 20:30",
    ),
    Case(
        "neurons run corpus.txt --states states",
        "--states is for a file that ends in .npz",
        "--states states.npz",
        "neurons run corpus.txt --states states.npz",
    ),
    Case(
        "neurons run corpus.txt --states run/best.npz",
        "run/best.npz exists",
        "another --states",
        "neurons run corpus.txt --states states.npz",
    ),
    Case(
        "neurons run --encoding latin-1",
        "--encoding is for a FILE",
        "without it",
        "neurons run",
    ),
    Case(
        "neurons run greek.txt --on-unknown skip",
        "the model knows no character of",
        "another text",
        "neurons run corpus.txt",
    ),
    Case(
        "neurons bytes corpus.txt --encoding latin-1",
        "not for a model of bytes",
        "without it",
        "neurons bytes corpus.txt",
    ),
    Case(
        "neurons loose.npz",
        "says where the text was",
        "charrnn neurons CHECKPOINT FILE",
        "neurons loose.npz corpus.txt",
    ),
    Case("info nowhere.npz", "nowhere.npz", "the path of an .npz", "info run/best.npz"),
    Case("info broken.npz", "broken.npz", "another checkpoint", "info run/best.npz"),
    Case(
        f"train corpus.txt {T} --optimizer sgd --lr 1e38 --clip-norm 1e30 "
        "--warmup-steps 0 --steps 20",
        "at step 2",
        "a smaller --lr in a new run",
        f"train corpus.txt {T} --optimizer sgd --lr 0.1 --clip-norm 1 --steps 20",
    ),
]
"""An empty cure: following it takes minutes, or waits for another terminal."""

NOT_PROVOKED = {
    "began from the weights of a checkpoint": "a run with --init-from: `test_like`",
    "has changed since the run of --like": "a changed file: `test_like`",
    "--train-teachers starts processes": "under mpirun only: `test_train_teachers`",
    "{}, which run.json names, is gone": "a text that was moved: `test_train_teachers`",
    "no teacher could be trained": "teachers that fail: `test_train_teachers`",
    "{} trains its teachers first": "teachers that are not complete: `test_train_teachers`",
    "{} is damaged": "a run.json with other words: `test_train_teachers`",
    "has no teachers": "an unfinished run without any: `test_teachers`",
    "there is no teacher": "teachers that were moved: `test_teachers`",
    "was trained with teachers, and its run.json": "a run.json without them: `test_teachers`",
    "generate another text than before": "changed teachers: `test_teachers`",
    "--networks {} of {} units": "only with networks that take minutes: `test_networks`",
    "there is no network to merge": "only through Python: `test_merging`",
    "the networks to merge have": "only through Python: `test_merging`",
    "--bidirectional is for pairs": "only through Python: `test_bidirectional`",
    "--bidirectional reads texts": "only through Python: `test_bidirectional`",
    "{}{} is not finite": "weights that overflow in an update: `test_errors`",
    "{} is not finite at": "weights that overflow before a save: `test_errors`",
    "{}, after {} {} in a row": "the advice of the first of them: `test_nonfinite`",
    "cannot read": "a file that may not be read: `test_npz_file`, run as another user",
    "try pip install": "without the package: `test_image_plots`, `test_train`",
    "pip install": "without the package: `test_image_plots`, `test_train`, `test_files`",
    "a NUL character": "no shell can type one: `test_fuzz`",
    "processes is": "only through Python",
    "no characters to compare": "only through Python",
    "to measure dependence between them": "only through Python",
    "bytes do not fit into a checkpoint": "takes gigabytes: `test_npz_file`",
    "holds a run already": "in the folder of a run: `test_exits`",
    "the Dask worker": "workers that lack something: `test_cluster`",
    "no Dask scheduler answers": "waits for ten seconds: `test_cluster`",
    "the Dask scheduler at": "waits for ten seconds: `test_cluster`",
    "a worker process": "a process killed from outside: `test_exits`",
    "saved at step": "a process killed from outside: `test_exits`",
    "a checkpoint has room for": "15,000 labels: `test_exits`",
    "not enough memory": "takes all memory: `test_exits`",
    "it must be a finite number, 0 or more": "refused before: `test_sampling`",
    "too large to compress with": "weights of a billion: `test_fixed_point`",
    "has no fixed-point form": "a cell of another program: `test_fixed_point`",
    "is not exact on this machine": "a faulty BLAS: `test_fixed_point`",
    "computes other frequencies": "another machine's numbers: `test_compressor`",
    "changed while it was read": "a file that changes: `test_compressor`",
    "cannot be restored exactly": "an encoding with several spellings: `test_compressor`",
    "was compressed with another model": "only through Python: `test_compressor`",
    "is of version {}, not": "a file of the future: `test_compressor`",
    "is no part of an ensemble": "a compressed file made by hand: `test_mixture_coding`",
    "networks are more than": "65 checkpoints: `test_combine`",
    "has no {} of its own": "only through Python: `test_mixture`",
    "n-grams are counted in": "only through Python: `test_ngram_model`",
    "has no form of": "a cell or an option of another program: `test_pytorch_weights`",
    "a compressed file is not for a terminal": "on a terminal: `test_compress`",
    "another Python": "a codec of another Python: `test_compressor`",
    "cannot write {} ({})": "a full disk",
    "an ensemble needs at least two models": "only through Python: `test_ensemble`",
    "number the same characters differently": "a checkpoint made by hand: `test_ensemble`",
    "x has": "only through Python: `test_stateful`",
    "it was built for another MPI": "under another launcher: `test_ranks`",
    "ranks cannot share": "under mpiexec: `test_rank_pool`",
    "rank {} of {}": "a failure of another rank: `test_rank_pool`",
    "worker processes cannot import": "only through Python: `test_worker_pool`",
    "a context has": "only through Python: `test_context`",
    "rate {} and decay": "only through Python: `test_dynamic`",
    "leave nothing to predict": "a text of one character: `test_text`",
    "free some space": "a full disk",
    "a copy that you may read": "permissions",
    "close other programs": "takes all memory",
    "a newer charrnn": "a checkpoint of the future: `test_errors`",
    "another run is writing": "two runs at once: `test_resume`",
    "holds no training state": "a damaged run: `test_resume`",
    "standard output is closed": "a closed stream: `test_surroundings`",
    "standard input is closed": "a closed stream: `test_surroundings`",
    "is the text of this run": "a changed file: `test_resume`",
    "is not the text of this run": "a changed file: `test_resume`",
    "are not the pairs of this run": "a changed file: `test_resume`",
    "says where the text was": "a damaged run: `test_eval`",
    "examples are never cut": "an example of 32,768 characters: `test_presets`",
    "the validation loss is": "divergence in validation: `test_trainer`",
    "predictions of this model are not finite": "weights of 3e38: `test_huge_weights`",
    "states of this model are not finite": "weights that overflow: `test_neurons`",
    "the cell {} has no state": "only through Python: `test_unit_features`",
    "there is no character to read": "only through Python: `test_unit_features`",
    "in a row": "divergence after skipped updates: `test_nonfinite`",
    "the loss is": "divergence: the case of a weight that is not finite has the same advice",
    "lanes of": "`train` fits the windows to the text: `test_text_batches`",
    "do not fill a batch": "`train` fits the batch to the pairs: `test_layouts`",
    "the held-out part has": "a text of two characters: `test_baselines`",
}

READING = {
    *("data", "inference.predictor", "inference.model", "run_files", "evaluation.pairs"),
    *("cli.predict", "cli.answer_writer", "cli.input_lines", "cli.evaluate"),
    *("cli.sample", "cli.sample_notes", "cli.output.safe_text"),
    *("cli.runs.load_pairs", "cli.runs.load_text"),
}
"""Packages and modules that read what people bring: `test_reading_texts`, `test_bad_files` and
`test_typed_text` go through their messages; some of them are cases here, too."""


def template(node: ast.expr) -> str:
    """Return a text of the source with {} for what is filled in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            "{}" if isinstance(v, ast.FormattedValue) else template(v) for v in node.values
        )
    return "{}"


def messages() -> Iterator[tuple[str, str, list[str]]]:
    """Yield the module, the problem and the advice of every error with advice in the source."""
    for path in sorted(ROOT.rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if node.func.id in CLASSES and node.args:
                problem, *advice = map(template, node.args)
                if advice or "try " in problem:
                    yield module, problem, advice


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, sentences: str) -> Path:
    """A folder with a text and models of text, bytes and pairs."""
    place = tmp_path_factory.mktemp("advice")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        Path("corpus.txt").write_text(sentences, encoding="utf-8")
        Path("greek.txt").write_text("αβγδ" * 20, encoding="utf-8")
        Path("alone").mkdir()
        Path("ab.txt").write_text("ab", encoding="utf-8")
        turned = (f"{a}{b}\t{b}{a}\n" for a in "abcde" for b in "xyz")
        Path("turned.tsv").write_text("".join(turned), encoding="utf-8")
        Path("empty").mkdir()
        Path("broken.npz").write_bytes(b"PK\3\4" + bytes(100))
        np.savez("foreign.npz", W=np.zeros(3))
        for words in (
            f"corpus.txt {T} --out run",
            f"corpus.txt {T} --seed 2 --out twin",
            f"corpus.txt {T} --val-fraction 0.5 --out half",
            f"corpus.txt {T} --bytes --out bytes",
            f"corpus.txt {T} --normalize nfd --out normal",
            f"greek.txt {T} --out greek",
            f"--builtin vowels {P} --out pairs",
        ):
            assert call(f"train {words}").exit_code == 0
        Path("alone/best.npz").write_bytes(Path("run/best.npz").read_bytes())
        assert call(f"sweep corpus.txt {S} --out swept").exit_code == 0
        for name in ("torn", "changed", "lost"):
            shutil.copytree("swept", name)
        Path("torn/sweep.json").write_text('{"format": 1}', encoding="utf-8")
        Path("changed/training-part.txt").write_text("another text", encoding="utf-8")
        Path("lost/training-part.txt").unlink()
        assert call("compress run corpus.txt --output packed.charrnn").exit_code == 0
        assert call("export run --to safetensors").exit_code == 0
        assert call("combine run --ngrams 3 -o mixture.npz").exit_code == 0
        save_file(load_tensors(Path("run.safetensors").read_bytes()), "bare.safetensors")
        characters = list(charrnn.load("run").vocabulary.characters)
        Path("characters.json").write_text(json.dumps(characters), encoding="utf-8")
        Path("latin.json").write_bytes(b'["\xe9"]')
        Path("loose.npz").write_bytes(Path("run/best.npz").read_bytes())
        Path("cut.charrnn").write_bytes(Path("packed.charrnn").read_bytes()[:-1])
    return place


def call(line: str) -> Result:
    return CliRunner().invoke(app, shlex.split(line), catch_exceptions=False, input="")


@pytest.fixture(scope="module")
def lines(place: Path) -> dict[Case, str]:
    """The error of every case."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for case in CASES:
            failed = call(case.command)
            assert failed.exit_code > 1, case
            said = failed.stderr.splitlines()
            [found[case]] = [line for line in said if line.startswith("charrnn: error: ")]
    return found


def test_every_message_with_advice_is_provoked_or_has_a_reason_why_not(
    lines: dict[Case, str],
) -> None:
    unlisted = []
    for module, problem, advice in messages():
        text = "; try ".join([problem, *advice[:1]])
        pattern = re.sub(r"(\\\{\\\})+", ".*", re.escape(text))
        provoked = any(re.search(f"error: {pattern}", line) for line in lines.values())
        reason = any(part in " ".join([problem, *advice]) for part in NOT_PROVOKED)
        if not (provoked or reason or any(f"{module}.".startswith(f"{name}.") for name in READING)):
            unlisted.append((module, problem, advice))
    assert not unlisted, "\n".join(map(str, unlisted))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.command.replace(T, "").replace(P, ""))
def test_doing_what_a_message_says_cures_the_case(
    case: Case, lines: dict[Case, str], place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in place.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    line = lines[case]
    problem, found, advice = line.partition("; try ")
    assert found, line
    assert case.message in line
    assert case.advice in advice, line
    if case.cure:
        cured = call(case.cure)
        assert cured.exit_code == case.code, cured.stderr
        assert problem not in cured.stderr
