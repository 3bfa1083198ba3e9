"""Built-in corpora: generated on every call, always with the same content."""

import builtins
import random
import re
import sys
import sysconfig
from collections import Counter
from pathlib import Path
from pydoc_data import topics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.data import builtin_texts as corpora
from charrnn.data.builtin_texts import (
    BUILT_IN,
    CLAUSES,
    LANGUAGES,
    MAX_CLAUSE_CHARS,
    MAX_GAP_CHARS,
    MIN_CLAUSE_CHARS,
    MIN_GAP_CHARS,
    built_in_corpus,
    france_sentences,
)
from charrnn.errors import TextError, UsageError

DATA = Path(__file__).parents[2] / "data"
NAMES = [*LANGUAGES, *LANGUAGES.values()]


@pytest.mark.parametrize("name", [*BUILT_IN, "france:200"])
def test_every_built_in_corpus_is_the_same_twice_and_large_enough(name: str) -> None:
    corpus = built_in_corpus(name)
    assert corpus.fingerprint == built_in_corpus(name).fingerprint
    assert 250_000 < len(corpus.text) < 6_000_000
    assert len(set(corpus.text)) > 30
    assert corpus.sources == (name,)


def test_a_run_can_be_named_after_any_built_in_corpus() -> None:
    assert built_in_corpus("python-docs").name == "python-docs"
    assert built_in_corpus("france").name == "france"
    assert built_in_corpus("france:200").name == "france-200"


def test_the_docs_hold_what_help_shows() -> None:
    text = built_in_corpus("python-docs").text
    headings = [f'The "{name}" statement\n*****' for name in ("assert", "for", "while", "with")]
    assert [text.count(heading) for heading in headings] == [1, 1, 1, 1]
    assert sorted(headings, key=text.index) == headings


def test_the_docs_are_sorted_by_topic_whatever_the_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "topics", {"while": "last\n", "assert": "\nfirst"})
    assert built_in_corpus("python-docs").text == "first\n\nlast\n"


def test_the_source_begins_with_the_first_module_and_can_be_found_in_the_library() -> None:
    text = built_in_corpus("python-source").text
    library = Path(sysconfig.get_path("stdlib"))
    assert text.startswith((library / "__future__.py").read_text(encoding="utf-8"))
    assert (library / "argparse.py").read_text(encoding="utf-8") in text
    assert text.index("class ArgumentParser") < text.index("class TextWrapper")


def test_the_source_ends_with_the_module_that_makes_it_large_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(corpora, "PYTHON_SOURCE_CHARS", 1)
    library = Path(sysconfig.get_path("stdlib"))
    first = (library / "__future__.py").read_text(encoding="utf-8")
    assert built_in_corpus("python-source").text == first


@pytest.mark.parametrize("name", ["python-docs", "python-source"])
def test_a_text_that_depends_on_the_python_names_it(name: str) -> None:
    version = ".".join(map(str, sys.version_info[:3]))
    assert built_in_corpus(name).notes == (f"{name} is what Python {version} ships",)


@pytest.mark.parametrize("name", ["klingon", "", "Python-docs", "python-docs:60", "france.txt"])
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    with pytest.raises(UsageError, match="python-docs, python-source, france, france:GAP") as error:
        built_in_corpus(name)
    assert repr(name) in str(error.value)


@pytest.mark.parametrize("gap", ["", "x", "-60", "6.5", "²", "٦٠", "1_000", " 60", "9" * 5000])
def test_a_gap_that_is_no_number_is_a_usage_error(gap: str) -> None:
    with pytest.raises(UsageError, match="is not a number; try france:60") as error:
        built_in_corpus(f"france:{gap}")
    assert len(str(error.value)) <= 200


@pytest.mark.parametrize("gap", [0, MIN_GAP_CHARS - 1, MAX_GAP_CHARS + 1])
def test_a_gap_that_no_clause_fits_is_a_usage_error(gap: int) -> None:
    with pytest.raises(UsageError, match=f"gap of {gap} is not within 30 and 10000"):
        built_in_corpus(f"france:{gap}")


def test_a_python_without_its_manual_proposes_another_corpus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    genuine = builtins.__import__

    def stripped(name: str, *rest: Any) -> Any:
        if name.startswith("pydoc_data"):
            raise ImportError(name)
        return genuine(name, *rest)

    monkeypatch.setattr(builtins, "__import__", stripped)
    with pytest.raises(TextError, match="without pydoc_data; try --builtin python-source"):
        built_in_corpus("python-docs")


def test_a_python_without_its_source_proposes_another_corpus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(TextError, match="without its source; try --builtin python-docs"):
        built_in_corpus("python-source")


@given(
    st.integers(MIN_GAP_CHARS, 3 * MIN_GAP_CHARS) | st.integers(MIN_GAP_CHARS, 2000),
    st.integers(0, 9),
)
def test_the_gap_is_exact_and_holds_no_name(gap: int, seed: int) -> None:
    for text, country, language in france_sentences(gap, 5, random.Random(seed)):
        assert LANGUAGES[country] == language
        start = text.index(country) + len(country)
        end = text.rindex(language)
        assert end - start == gap
        assert text[:start] == f"I grew up in {country}"
        assert text[end:] == f"{language}."
        assert not any(name in text[start:end] for name in NAMES)


@pytest.mark.parametrize("gap", [*range(MIN_GAP_CHARS, 121), MAX_GAP_CHARS])
def test_every_filler_is_made_of_whole_clauses(gap: int) -> None:
    clauses = {clause for row in CLAUSES for clause in row}
    for sentence in france_sentences(gap, 20, random.Random(gap)):
        _, *filler, _ = re.split(r"(?<=\.) ", sentence.text)
        assert filler
        assert clauses.issuperset(filler)


def test_there_is_a_choice_of_clauses_for_every_length() -> None:
    lengths = [{len(clause) for clause in row} for row in CLAUSES]
    assert lengths == [{length} for length in range(MIN_CLAUSE_CHARS, MAX_CLAUSE_CHARS + 1)]
    assert min(map(len, CLAUSES)) > 1
    assert MAX_CLAUSE_CHARS >= 2 * MIN_CLAUSE_CHARS
    assert not any(name in clause for row in CLAUSES for clause in row for name in NAMES)


def test_no_name_hides_in_another_and_no_language_serves_two_countries() -> None:
    assert len(LANGUAGES) >= 12
    assert len(set(NAMES)) == 2 * len(LANGUAGES)
    for names in (list(LANGUAGES), list(LANGUAGES.values())):
        assert not any(one in other for one in names for other in names if one != other)


def test_countries_come_about_equally_often() -> None:
    sentences = france_sentences(60, 1600, random.Random(0))
    counts = Counter(sentence.country for sentence in sentences)
    assert counts.keys() == LANGUAGES.keys()
    assert 60 < min(counts.values()) <= max(counts.values()) < 150


def test_a_seed_decides_the_sentences() -> None:
    text = built_in_corpus("france:60", seed=0).text
    assert text == built_in_corpus("france", seed=0).text
    assert text != built_in_corpus("france", seed=1).text
    assert text.count("\n") == corpora.FRANCE_SENTENCES


def test_the_file_in_the_data_folder_is_made_anew_letter_by_letter() -> None:
    stored = (DATA / "france.txt").read_bytes().decode("ascii")
    assert 20_000 < len(stored) < 40_000
    sentences = france_sentences(60, 330, random.Random(0))
    assert stored == "".join(f"{sentence.text}\n" for sentence in sentences)
    assert built_in_corpus("france").text.startswith(stored)


def test_the_command_in_the_data_readme_writes_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    command = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert command is not None
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    exec(command[1], {})
    assert Path("data/france.txt").read_bytes() == (DATA / "france.txt").read_bytes()
