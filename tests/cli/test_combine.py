"""`charrnn combine`: what is put together is what every command uses and names."""

import csv
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

import charrnn
from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.data.text_files import validation_start
from charrnn.inference.mixture import Mixture
from charrnn.inference.model import Model
from charrnn.inference.sampling import Sampling

Call = Callable[..., Result]
Untrained = Callable[..., Model]
HELD_OUT = "by noon it was happy to see them.\n"


@pytest.fixture(scope="module")
def twin_run(
    tmp_path_factory: pytest.TempPathFactory, finished_run: Path, tiny: tuple[str, ...]
) -> Path:
    """A second run on the text of `finished_run`."""
    from tests.cli.conftest import call

    folder = tmp_path_factory.mktemp("twin") / "run"
    corpus = finished_run.parent / "corpus.txt"
    assert call("train", corpus, *tiny, "--seed", "7", "--out", folder).exit_code == 0
    return folder


@pytest.fixture
def mixture(run_cli: Call, finished_run: Path, twin_run: Path) -> Path:
    """A mixture of two networks and 4-grams, and held-out.txt."""
    made = run_cli("combine", finished_run, twin_run, "--ngrams", "4", "-o", "m.npz", "--quiet")
    assert made.exit_code == 0, made.stderr
    assert made.stdout == made.stderr == ""
    Path("held-out.txt").write_text(HELD_OUT, encoding="utf-8")
    return Path("m.npz")


def loaded(path: Path) -> Mixture:
    model = charrnn.load(path)
    assert isinstance(model, Mixture)
    return model


def rows_of(output: str) -> dict[str, str]:
    """Return the nats of the rows of a table of losses."""
    found = re.findall(r"^(.*?) +(\d\.\d{4}) +\d+\.\d{4} +\d+\.\d\d$", output, re.MULTILINE)
    return dict(found)


def test_only_the_training_part_is_counted(
    mixture: Path, finished_run: Path, sentences: str
) -> None:
    model = loaded(mixture)
    record = model.record.ngrams
    assert record is not None
    end = validation_start(len(sentences), 0.1)
    assert model.vocabulary.decode(record.ids) == sentences[:end]
    assert record.fitted == len(sentences) - end - 1
    best = load_checkpoint(finished_run / "best.npz")
    assert (model.members[0].parameters.vector == best.parameters.vector).all()


def test_it_says_what_it_made_and_that_the_text_is_inside(
    run_cli: Call, finished_run: Path, twin_run: Path, sentences: str
) -> None:
    made = run_cli("combine", finished_run, twin_run, "--ngrams", "4")
    assert made.exit_code == 0
    rows = rows_of(made.stdout)
    names = {"mixture of 2 networks and 4-grams", "2 networks alone", "4-grams alone"}
    assert rows.keys() == names
    n = loaded(Path("combined.npz")).record.ngrams
    assert n is not None
    assert f"{n.fitted:,} validation characters, each half with exponents" in made.stdout
    assert made.stderr.splitlines() == [
        "charrnn: mixture of 2 networks and 4-grams is now in combined.npz",
        f"charrnn: note: combined.npz contains {len(n.ids):,} characters of training text",
        "charrnn: try charrnn sample combined.npz",
    ]
    again = run_cli("combine", finished_run, twin_run, "--ngrams", "4", "--json", "--force")
    facts = json.loads(again.stdout)
    assert facts["model"] == "mixture of 2 networks and 4-grams"
    assert facts["ngrams"]["characters"] == len(n.ids)
    whole = facts["validation"]["whole_nats_per_char"]
    assert f"{whole:.4f}" == rows["mixture of 2 networks and 4-grams"]
    assert whole < facts["validation"]["networks_nats_per_char"]
    assert whole < facts["validation"]["ngrams_nats_per_char"]


def test_networks_without_ngrams(run_cli: Call, finished_run: Path, twin_run: Path) -> None:
    made = run_cli("combine", finished_run, twin_run)
    assert made.exit_code == 0
    assert made.stdout == ""
    assert "contains" not in made.stderr
    model = loaded(Path("combined.npz"))
    assert model.title == "mixture of 2 networks"
    both = json.loads(
        run_cli(
            *("eval", "--ensemble", finished_run, twin_run, finished_run.parent / "corpus.txt"),
            *("--json", "--no-baselines"),
        ).stdout
    )
    text = (finished_run.parent / "corpus.txt").read_text(encoding="utf-8")
    assert model.evaluate(text).nats_per_char == pytest.approx(both["nats_per_char"], rel=1e-6)


def test_eval_shows_every_part_in_a_row_of_its_own(run_cli: Call, mixture: Path) -> None:
    scores = loaded(mixture).scores(HELD_OUT)
    assert scores.networks is not None
    assert scores.ngrams is not None
    shown = run_cli("eval", mixture, "held-out.txt", "--no-baselines", "--window", "9")
    window = loaded(mixture).mean_surprisal(loaded(mixture).vocabulary.encode(HELD_OUT), 9)
    assert rows_of(shown.stdout) == {
        "mixture of 2 networks and 4-grams": f"{scores.whole.nats_per_char:.4f}",
        "mixture of 2 networks and 4-grams, windows of 9": f"{window:.4f}",
        "2 networks (mean of probabilities)": f"{scores.networks.nats_per_char:.4f}",
        "network 1 alone": f"{scores.members[0].nats_per_char:.4f}",
        "network 2 alone": f"{scores.members[1].nats_per_char:.4f}",
        "4-grams alone": f"{scores.ngrams.nats_per_char:.4f}",
    }
    figures = json.loads(run_cli("eval", mixture, "held-out.txt", "--json").stdout)
    assert figures["model"] == "mixture of 2 networks and 4-grams"
    assert figures["nats_per_char"] == scores.whole.nats_per_char
    assert figures["networks"]["nats_per_char"] == scores.networks.nats_per_char
    assert [member["nats_per_char"] for member in figures["members"]] == [
        member.nats_per_char for member in scores.members
    ]
    assert figures["ngrams"]["order"] == 4
    assert figures["ngrams"]["nats_per_char"] == scores.ngrams.nats_per_char
    # the text inside suffices for the baselines, wherever the file is
    assert figures["baselines"]["5-gram"]["nats_per_char"] > 0


def test_eval_shows_surprisals_of_the_mixture(run_cli: Call, mixture: Path) -> None:
    model = loaded(mixture)
    ids = model.vocabulary.encode(HELD_OUT)
    words = ("--csv", "s.csv", "--html", "s.html", "--surprise", "--no-baselines")
    assert run_cli("eval", mixture, "held-out.txt", *words).exit_code == 0
    with Path("s.csv").open(encoding="utf-8", newline="") as file:
        nats = [float(row["nats"]) for row in csv.DictReader(file) if row["nats"]]
    assert len(nats) == len(ids) - 1
    assert sum(nats) / len(nats) == pytest.approx(model.score(ids).nats_per_char, rel=1e-6)
    assert "Surprisal by character" in Path("s.html").read_text(encoding="utf-8")


def test_sample_names_the_mixture_and_draws_from_it(run_cli: Call, mixture: Path) -> None:
    model = loaded(mixture)
    expected = "".join(next(model.samples("the ", 60, Sampling(0.8, seed=4))))
    options = ("--seed", "4", "--temperature", "0.8", "--length", "60", "--prime", "the ")
    result = run_cli("sample", mixture, *options)
    assert result.stdout == f"the {expected}"
    assert result.stderr == "charrnn: sampling from m.npz, a mixture of 2 networks and 4-grams\n"
    talk = run_cli("sample", mixture, "--interactive", "--length", "5", stdin="the cat\n")
    assert talk.exit_code == 0


def test_info_names_every_part(run_cli: Call, mixture: Path) -> None:
    shown = " ".join(run_cli("info", mixture, "--arrays").stdout.split())
    n = loaded(mixture).record.ngrams
    assert n is not None
    for part in (
        "model mixture of 2 networks and 4-grams",
        "network 1 1 × 8 mlstm",
        "network 2 1 × 8 mlstm",
        "alone: validation",
        f"4-grams of {len(n.ids):,} characters of the training text, which this file contains",
        f"fitted on {n.fitted:,} validation characters",
        f"ngrams.ids ({len(n.ids)},)",
        "members.1.layers.0.W_hh (4, 8, 8)",
    ):
        assert part in shown, part
    facts = json.loads(run_cli("info", mixture, "--json").stdout)
    assert facts["mixture"] == "mixture of 2 networks and 4-grams"
    assert [member["model"]["hidden"] for member in facts["members"]] == [8, 8]
    assert facts["ngrams"]["order"] == 4


def test_a_network_is_taken_out_as_it_was_put_in(
    run_cli: Call, mixture: Path, twin_run: Path
) -> None:
    taken = run_cli("combine", mixture, "--member", "2", "--output", "two.npz")
    assert taken.stderr == "charrnn: network 2 of 2 is now in two.npz\n"
    text = ("held-out.txt", "--no-baselines", "--json")
    assert run_cli("eval", "two.npz", *text).stdout == run_cli("eval", twin_run, *text).stdout
    again = run_cli("combine", mixture, "--member", "1", "--output", "one.npz", "--json")
    assert json.loads(again.stdout) == {"output": "one.npz", "member": 1, "members": 2}


@pytest.mark.parametrize(
    "words",
    [
        "inspect-gradients m.npz",
        "neurons m.npz held-out.txt",
        "export m.npz --to safetensors",
        "report m.npz",
        "train held-out.txt --init-from m.npz --steps 2",
        "train --resume m.npz",
        "predict m.npz a",
        "eval --ensemble m.npz two.npz held-out.txt",
        "combine m.npz two.npz",
    ],
)
def test_what_needs_one_network_refuses_a_mixture_and_says_how_to_get_one(
    words: str, run_cli: Call, mixture: Path
) -> None:
    assert run_cli("combine", mixture, "--member", "1", "--output", "two.npz").exit_code == 0
    refused = run_cli(*shlex.split(words))
    assert refused.exit_code == 2, refused.output
    [line] = refused.stderr.splitlines()
    assert "'m.npz' is a mixture, and this needs a single network; try" in line
    advised = line.partition("; try charrnn ")[2]
    assert run_cli(*shlex.split(advised)).exit_code == 0


def test_dynamic_evaluation_is_refused(run_cli: Call, mixture: Path) -> None:
    refused = run_cli("eval", mixture, "held-out.txt", "--dynamic")
    assert refused.exit_code == 2
    assert "--dynamic trains one network, and m.npz is a mixture of 2 networks" in refused.stderr


def test_networks_that_do_not_fit_together_are_refused(
    run_cli: Call, finished_run: Path, twin_run: Path, tiny: tuple[str, ...], untrained: Untrained
) -> None:
    corpus = finished_run.parent / "corpus.txt"
    untrained("abc").save("abc.npz")
    for words in (
        (corpus, *tiny, "--val-fraction", "0.3", "--out", "other"),
        (
            "--builtin",
            "vowels",
            "--steps",
            "2",
            "--hidden",
            "4",
            "--workers",
            "1",
            "--out",
            "pairs",
        ),
    ):
        assert run_cli("train", *words, "--quiet").exit_code == 0
    Path("another.txt").write_text("the cat", encoding="utf-8")
    for words, code, message in (
        ((finished_run, "abc.npz"), 2, "different vocabularies"),
        ((finished_run, finished_run), 2, "best.npz is named twice"),
        (("pairs", "--ngrams", "3"), 2, "pairs/best.npz: this model was trained on pairs"),
        ((finished_run, "pairs"), 2, "pairs/best.npz: this model was trained on pairs"),
        ((finished_run,), 2, "one network alone is no mixture; try another run, or --ngrams 8"),
        ((finished_run, "other", "--ngrams", "3"), 2, "trained on another text, or another part"),
        (("abc.npz", "--ngrams", "3"), 4, "it is not known which text abc.npz was trained on"),
        ((finished_run, "--ngrams", "0"), 2, "--ngrams is 0; it must be a whole number"),
        ((finished_run, "--ngrams", "3", "--text", "another.txt"), 4, "is not the text of this"),
        ((finished_run, twin_run, "--text", corpus), 2, "--text is for --ngrams"),
        ((finished_run, "--member", "1"), 2, "is no mixture, but a single network"),
        ((finished_run, "--ngrams", "3", "-o", "m.bin"), 2, "a checkpoint ends in .npz"),
        ((finished_run, "--ngrams", "3", "-o", "abc.npz"), 5, "abc.npz exists"),
        (("abc.npz",) * 65, 2, "65 networks are more than 64; try fewer"),
        (("nowhere.npz", "--ngrams", "3"), 3, "no checkpoint at 'nowhere.npz'"),
    ):
        refused = run_cli("combine", *words)
        assert refused.exit_code == code, (words, refused.output)
        assert message in refused.stderr
        assert not Path("combined.npz").exists()


def test_a_text_that_has_moved_is_given_again(
    run_cli: Call, finished_run: Path, sentences: str
) -> None:
    Path("alone.npz").write_bytes((finished_run / "best.npz").read_bytes())
    lost = run_cli("combine", "alone.npz", "--ngrams", "3")
    assert lost.exit_code == 4
    assert "; try --text FILE with the text of the run" in lost.stderr
    Path("moved.txt").write_text(sentences, encoding="utf-8")
    found = run_cli("combine", "alone.npz", "--ngrams", "3", "--text", "moved.txt")
    assert found.exit_code == 0, found.stderr


def test_a_run_without_validation_gets_default_exponents(
    run_cli: Call, corpus: Path, tiny: tuple[str, ...]
) -> None:
    words = ("--val-fraction", "0", "--bytes", "--out", "run")
    assert run_cli("train", corpus, *tiny, *words).exit_code == 0
    made = run_cli("combine", "run", "--ngrams", "3")
    assert made.exit_code == 0, made.stderr
    assert "the exponents of the mixture are the default ones" in made.stderr
    assert "; default" in " ".join(run_cli("info", "combined.npz").stdout.split())
    assert run_cli("sample", "combined.npz", "--length", "5").exit_code == 0
    assert run_cli("eval", "combined.npz", corpus).exit_code == 0


def test_a_damaged_mixture_is_an_error_of_one_line(run_cli: Call, mixture: Path) -> None:
    content = bytearray(mixture.read_bytes())
    content[len(content) // 2] ^= 1
    mixture.write_bytes(content)
    for words in (("sample", mixture), ("eval", mixture, "held-out.txt"), ("info", mixture)):
        refused = run_cli(*words)
        assert refused.exit_code == 3
        [line] = refused.stderr.splitlines()
        assert "is damaged: its content does not match its checksum" in line


def test_compress_uses_the_mixture_and_shows_each_part(run_cli: Call, mixture: Path) -> None:
    made = run_cli("compress", mixture, "held-out.txt")
    assert made.exit_code == 0, made.stderr
    shown = " ".join(made.stdout.split())
    title = "mixture of 2 networks and 4-grams"
    names = ("network 1", "network 2", "4-grams")
    for name in (f"this file, {title}", *(f"with {name} alone" for name in names)):
        assert name in shown
    back = run_cli("decompress", mixture, "held-out.txt.charrnn", "-o", "back.txt")
    assert back.exit_code == 0, back.stderr
    assert Path("back.txt").read_text(encoding="utf-8") == HELD_OUT
    figures = json.loads(run_cli("compress", mixture, "held-out.txt", "--json", "--force").stdout)
    assert figures["combination"] == title
    assert [member["part"] for member in figures["members"]] == list(names)


def test_a_file_of_a_mixture_needs_that_mixture(
    run_cli: Call, mixture: Path, finished_run: Path, twin_run: Path
) -> None:
    assert run_cli("compress", mixture, "held-out.txt").exit_code == 0
    wrong = run_cli("decompress", finished_run, twin_run, "held-out.txt.charrnn", "-o", "b.txt")
    assert wrong.exit_code == 3
    assert "is not among the checkpoints named" in wrong.stderr
    networks = run_cli("combine", finished_run, twin_run, "-o", "networks.npz", "--quiet")
    assert networks.exit_code == 0
    packed = run_cli("compress", "networks.npz", "held-out.txt", "-o", "n.charrnn")
    assert packed.exit_code == 0
    for members in ((finished_run, twin_run), ("networks.npz",)):
        back = run_cli("decompress", *members, "n.charrnn", "-o", "b.txt", "--force")
        assert back.exit_code == 0, back.stderr
        assert Path("b.txt").read_text(encoding="utf-8") == HELD_OUT


def test_novelty_is_measured_on_samples_of_the_mixture(
    run_cli: Call, mixture: Path, finished_run: Path
) -> None:
    corpus = finished_run.parent / "corpus.txt"
    words = ("--text", corpus, "--samples", "2", "--length", "200", "--json")
    whole = run_cli("novelty", mixture, *words)
    assert whole.exit_code == 0, whole.stderr
    title = "mixture of 2 networks and 4-grams"
    assert whole.stderr.startswith(f"charrnn: measuring m.npz, a {title}\n")
    found = json.loads(whole.stdout)
    alone = json.loads(run_cli("novelty", finished_run, *words).stdout)
    assert found["model"] == title
    assert "model" not in alone
    assert found["samples"] != alone["samples"]
    assert found["held_out"] == alone["held_out"]
