"""Sampling sessions: turns, undo, seeds, and what an interrupted turn leaves."""

from itertools import islice

import numpy as np
import pytest

from charrnn.checkpointing.records import Checkpoint, CorpusRecord
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import TextError, UsageError
from charrnn.inference.model import Model
from charrnn.inference.sampling import Sampling
from charrnn.inference.session import MAX_CONTEXT, Session
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise


@pytest.fixture
def session() -> Session:
    vocabulary = Vocabulary("abcd \n")
    config = ModelConfig(6, 6, "gru", hidden=6)
    parameters = initialise(config, np.random.default_rng(1))
    record = CorpusRecord("nothing", "0" * 64, 0, 0.1)
    model = Model(Checkpoint(config, vocabulary, parameters, record, 0))
    return Session(model, Sampling(0.9, seed=5), length=30)


def test_a_turn_continues_the_whole_text_with_the_next_seed(session: Session) -> None:
    first = "".join(session.turn("ab"))
    second = "".join(session.turn("cd"))
    assert isinstance(session.model, Model)
    generate = session.model.generate
    assert first == "".join(generate("ab", 30, 0.9, seed=5))
    assert second == "".join(generate(f"ab{first}cd", 30, 0.9, seed=6))
    assert session.text == f"ab{first}cd{second}"
    assert session.sampling.seed == 7


def test_undo_removes_one_turn_at_a_time(session: Session) -> None:
    first = "ab" + "".join(session.turn("ab"))
    "".join(session.turn(""))
    assert session.undo()
    assert session.text == first
    assert session.undo()
    assert session.text == ""
    assert not session.undo()


def test_a_turn_that_is_stopped_leaves_what_was_drawn(session: Session) -> None:
    drawn = "".join(islice(session.turn("ab"), 7))
    assert session.text == "ab" + drawn
    assert len(drawn) == 7
    assert session.undo()
    assert session.text == ""


def test_unknown_characters_change_nothing(session: Session) -> None:
    with pytest.raises(TextError, match="lacks 'x'"):
        session.turn("axb")
    assert (session.text, session.sampling.seed, session.undo()) == ("", 5, False)


def test_the_end_of_a_long_text_is_read(session: Session) -> None:
    session.text = "abcd" * MAX_CONTEXT
    found = "".join(session.turn("b"))
    assert isinstance(session.model, Model)
    context = ("abcd" * MAX_CONTEXT + "b")[-MAX_CONTEXT:]
    assert found == "".join(session.model.generate(context, 30, 0.9, seed=5))


def test_a_length_out_of_range_is_refused(session: Session) -> None:
    session.set_length(3)
    assert len("".join(session.turn("a"))) == 3
    with pytest.raises(UsageError, match="--length is -1"):
        session.set_length(-1)
    assert session.length == 3
