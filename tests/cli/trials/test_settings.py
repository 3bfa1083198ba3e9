"""Settings of trials: options of train as words."""

from charrnn.cli.trials.settings import words_of


def test_options_without_value_are_typed_if_true_and_negated_if_false_where_they_can_be() -> None:
    assert words_of({"--bytes": "true", "--lr": "0.1"}) == ["--bytes", "--lr", "0.1"]
    assert words_of({"--bytes": "false"}) == []
    assert words_of({"--bidirectional": "False"}) == ["--no-bidirectional"]
    assert words_of({"--bidirectional": "true"}) == ["--bidirectional"]
