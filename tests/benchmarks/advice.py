"""What the advice of `inspect-gradients` does when it is followed.

    python -m tests.benchmarks.advice [TEXT ...] [--folder FOLDER] [--steps 1000] [--seeds 0,1]
                                      [--sizes 64,128] [--quick] [--json FILE]

Trains networks with `charrnn train` on several kinds of data, asks `charrnn inspect-gradients` for
its verdict and its advice, at initialisation and after training, trains again as advised, at equal
steps, and prints what that did to the validation loss and to the reach of the gradient. The first
90 % of each TEXT is used, so that its end stays unseen; files whose name holds "new" count as texts
that the rule was not chosen on. Runs are kept in FOLDER and not trained again.

A piece of advice holds if it lowered the loss by more than the spread of the seeds in at least 80 %
of the cases in which it was printed, and never raised it by more than 1 %.
"""

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from charrnn.data.builtin_texts import built_in_corpus
from tests.benchmarks.measuring import write_json

REQUIRED_SHARE = 0.8
MAX_HARM = 0.01
MAX_CHARACTERS = 1_000_000
TRAINING_SHARE = 0.9

NETWORKS: dict[str, dict[str, str]] = {
    "rnn normal:0.01": {"cell": "rnn", "recurrent-init": "normal:0.01"},
    "rnn orthogonal": {"cell": "rnn"},
    "rnn uniform": {"cell": "rnn", "recurrent-init": "uniform"},
    "rnn gain 2": {"cell": "rnn", "recurrent-gain": "2"},
    "gru": {"cell": "gru"},
    "lstm": {"cell": "lstm"},
    "lstm forget bias 4.6": {"cell": "lstm", "forget-bias": "4.6"},
}
PAIR_NETWORKS: dict[str, dict[str, str]] = {
    "rnn": {"cell": "rnn"},
    "gru": {"cell": "gru"},
    "lstm forget bias 1": {"cell": "lstm", "forget-bias": "1"},
    "lstm": {"cell": "lstm"},
}


@dataclass(frozen=True)
class Data:
    """What networks are trained on, as options of `charrnn train`."""

    name: str
    options: tuple[str, ...]
    chosen_on: bool
    """Whether the rule was chosen on it."""
    pairs: bool = False


@dataclass(frozen=True)
class Case:
    """One piece of advice, printed for one network on some data, and what following it did."""

    data: str
    chosen_on: bool
    network: str
    verdict: str
    advice: str
    before: float
    after: float
    spread: float
    reach_before: int | None
    reach_after: int | None

    @property
    def change(self) -> float:
        """Relative change of the loss; negative if following the advice lowered it."""
        return self.after / self.before - 1

    @property
    def helped(self) -> bool:
        """Whether the loss fell by more than the spread of the seeds."""
        return self.after < self.before - self.spread


def unicode_names() -> str:
    """Return the names of Unicode characters in random order, one a line."""
    names = [(c, unicodedata.name(chr(c), "")) for c in range(0x30000)]
    lines = [
        f"{c:04X} {name}" for c, name in names if name and not name.startswith(("CJK", "HANGUL SY"))
    ]
    random.Random(0).shuffle(lines)
    return "\n".join(lines)


def datasets(texts: Sequence[Path], folder: Path) -> Iterator[Data]:
    """Write the texts to a folder; yield all data, those that the rule was chosen on first."""
    source = built_in_corpus("python-source").text
    made = {
        "python-docs": (built_in_corpus("python-docs").text, True),
        "python-source": (source[:MAX_CHARACTERS], True),
        "france-80": (built_in_corpus("france:80").text, True),
        "python-source-2": (source[2 * MAX_CHARACTERS : 3 * MAX_CHARACTERS], False),
        "france-40": (built_in_corpus("france:40").text, False),
        "unicode-names": (unicode_names()[:MAX_CHARACTERS], False),
    }
    for path in texts:
        text = path.read_text(encoding="utf-8")
        made[path.stem] = text[: int(TRAINING_SHARE * len(text))], "new" not in path.stem
    for name, (text, chosen_on) in made.items():
        file = folder / f"{name}.txt"
        file.write_text(text, encoding="utf-8")
        yield Data(name, (str(file),), chosen_on)
    for builtin, layout, chosen_on in (
        ("france:60", "many-to-one", True),
        ("dates", "many-to-many", True),
        ("languages", "many-to-one", True),
        ("france:100", "many-to-one", False),
    ):
        options = ("--builtin", builtin, "--layout", layout)
        yield Data(f"pairs {builtin}", options, chosen_on, pairs=True)


class Runs:
    """Trained runs in a folder, by their options."""

    def __init__(self, folder: Path, steps: int) -> None:
        self.folder, self.steps = folder, steps

    def path(self, data: Data, options: dict[str, str], seed: int) -> Path:
        """Return the folder of a run, trained first if it is not there."""
        words = [f"{name}={value}" for name, value in sorted(options.items())]
        slug = re.sub(r"[^\w.=-]+", "_", "-".join([data.name, *words, f"seed={seed}"]))
        run = self.folder / slug
        result = run.with_name(f"{run.name}.json")
        if not result.exists():
            given = [word for name, value in options.items() for word in (f"--{name}", value)]
            fixed = ["--steps", str(self.steps), "--seed", str(seed), "--workers", "1", "--quiet"]
            every = ["--eval-every", str(max(1, self.steps // 2)), "--patience", "0", "--json"]
            print(f"training {slug}", file=sys.stderr, flush=True)
            out = charrnn("train", *data.options, *given, *fixed, *every, "--out", str(run))
            result.write_text(out, encoding="utf-8")
        return run

    def loss(self, data: Data, options: dict[str, str], seed: int) -> float:
        """Return the best validation loss of a run in nats per character or symbol."""
        run = self.path(data, options, seed)
        found = json.loads(run.with_name(f"{run.name}.json").read_text(encoding="utf-8"))
        if data.pairs:
            return float(found["validation"]["nats_per_symbol"])
        return float(found["validation_nats_per_char"])

    def inspected(self, data: Data, options: dict[str, str], seed: int, *more: str) -> Any:
        """Return what `inspect-gradients` says of a run."""
        run = self.path(data, options, seed)
        name = "inspected" + "".join(more)
        file = run.with_name(f"{run.name}.{name}.json")
        if not file.exists():
            where = () if data.pairs else ("--text", data.options[0])
            file.write_text(charrnn("inspect-gradients", str(run), *where, *more, "--json"))
        return json.loads(file.read_text(encoding="utf-8"))["models"][0]


def charrnn(*arguments: str) -> str:
    """Run a command; return its stdout."""
    command = [sys.executable, "-m", "charrnn", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)}: {done.stderr}")
    return done.stdout


def pieces_of_advice(sentence: str) -> list[dict[str, str]]:
    """Return the options of each alternative that a verdict advises."""
    _, found, advice = sentence.partition(". Try ")
    alternatives = [re.findall(r"--([a-z-]+) (\S+?)(?=,|$| )", one) for one in advice.split(" or ")]
    return [dict(options) for options in alternatives if found and options]


def cases(runs: Runs, data: Data, sizes: Sequence[int], seeds: Sequence[int]) -> Iterator[Case]:
    """Yield a case for every piece of advice about every network on some data."""
    networks = PAIR_NETWORKS if data.pairs else NETWORKS
    for name, network in networks.items():
        for size in sizes[:1] if data.pairs else sizes:
            asked = network | {"hidden": str(size)}
            losses = [runs.loss(data, asked, seed) for seed in seeds]
            for seed, before in zip(seeds, losses, strict=True):
                for more in ((), ("--at-init",)):
                    found = runs.inspected(data, asked, seed, *more)
                    VERDICTS[data.chosen_on][bool(more), found["verdict"]["kind"]] += 1
                    for advice in pieces_of_advice(found["verdict"]["sentence"]):
                        advised = asked | advice
                        if "cell" in advice:  # options of the other cell do not apply
                            advised = {"hidden": str(size)} | advice
                        after = [runs.loss(data, advised, number) for number in seeds]
                        yield Case(
                            data.name,
                            data.chosen_on,
                            f"{name}, {size} units, seed {seed}",
                            f"{found['verdict']['kind']}{' at init' if more else ''}",
                            " ".join(f"--{key} {value}" for key, value in advice.items()),
                            before,
                            after[seeds.index(seed)],
                            max(max(losses) - min(losses), max(after) - min(after)),
                            found["lengths"]["reach_chars"],
                            runs.inspected(data, advised, seed)["lengths"]["reach_chars"],
                        )


VERDICTS: dict[bool, Counter[tuple[bool, str]]] = {True: Counter(), False: Counter()}
"""How often each verdict was given: on data the rule was chosen on, and on others."""


def show(found: Sequence[Case]) -> None:
    """Print a line for each piece of advice and kind of data, then a line for each case."""
    groups = defaultdict(list)
    for case in found:
        advice = re.sub(r"(--forget-bias|--seq-length) \S+", r"\1 N", case.advice)
        groups[advice, case.verdict, case.chosen_on].append(case)
    print("| advice | verdict | data | cases | helped | change of loss, median (range) | holds |")
    print("|---|---|---|---|---|---|---|")
    for (advice, verdict, chosen_on), group in sorted(groups.items()):
        changes = [case.change for case in group]
        share = sum(case.helped for case in group) / len(group)
        holds = share >= REQUIRED_SHARE and max(changes) <= MAX_HARM
        where = "chosen on" if chosen_on else "not seen"
        print(
            f"| `{advice}` | {verdict} | {where} | {len(group)} | {share:.0%} | "
            f"{median(changes):+.1%} ({min(changes):+.1%} to {max(changes):+.1%}) | "
            f"{'yes' if holds else 'no'} |"
        )
    for chosen_on, counts in VERDICTS.items():
        words = ", ".join(
            f"{kind}{' at init' if fresh else ''} {count}"
            for (fresh, kind), count in sorted(counts.items())
        )
        print(f"\nverdicts on data {'chosen on' if chosen_on else 'not seen'}: {words}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("texts", nargs="*", type=Path, metavar="TEXT")
    parser.add_argument("--folder", type=Path, help="where runs are kept; default: temporary")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--sizes", default="64,128")
    parser.add_argument("--quick", action="store_true", help="one text, a few steps")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args(arguments)
    seeds, sizes = (list(map(int, text.split(","))) for text in (asked.seeds, asked.sizes))
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        steps = 20 if asked.quick else asked.steps
        all_data = list(datasets(asked.texts, folder))
        if asked.quick:
            all_data, seeds, sizes = [all_data[2]], seeds[:1], [8]
        runs = Runs(folder, steps)
        found = [case for data in all_data for case in cases(runs, data, sizes, seeds)]
    show(found)
    if asked.json is not None:
        write_json(asked.json, [vars(case) | {"change": case.change} for case in found])


if __name__ == "__main__":
    main()
