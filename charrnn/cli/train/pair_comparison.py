"""A model of pairs beside baselines: a table, and a sentence about which of them it beats."""

from collections.abc import Sequence

from rich.table import Table

from charrnn.cli.train.pair_metrics import PairMetrics
from charrnn.evaluation.pair_baselines import PairBaseline
from charrnn.evaluation.pair_verdict import Outcome, difference
from charrnn.evaluation.pairs import macro_f1


def baseline_table(found: PairMetrics, baselines: Sequence[PairBaseline]) -> Table:
    """Return a table with the model in the first line and a line for each baseline."""
    rows = [own_figures(found), *baselines]
    titles = {"nats_per_symbol": "nats", "symbol_accuracy": "accuracy"}
    titles |= {"exact_match": "exact match", "macro_f1": "macro F1"}
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", overflow="fold")
    used = [name for name in titles if any(getattr(row, name) is not None for row in rows)]
    for name in used:
        table.add_column(titles[name], justify="right", no_wrap=True)
    for number, row in enumerate(rows):
        cells = (figure(name, getattr(row, name)) for name in used)
        table.add_row(row.title, *cells, style="bold" if number == 0 else "")
    return table


def figure(name: str, value: float | None) -> str:
    """Return a figure of a table, or nothing for None."""
    if value is None:
        return ""
    return f"{value:.4f}" if name in ("nats_per_symbol", "macro_f1") else f"{value:.2%}"


def own_figures(found: PairMetrics) -> PairBaseline:
    """Return the figures of the model as those of a baseline."""
    answer_is_text = found.pairing.layout_spec.answer_is_text
    return PairBaseline(
        "this model",
        found.score.nats_per_symbol,
        found.score.symbol_accuracy,
        found.score.exact_match if found.exact_counts and answer_is_text else None,
        macro_f1(found.labels) if found.labels else None,
    )


def comparison(found: PairMetrics, baselines: Sequence[PairBaseline]) -> str:
    """Say which baselines the model beats, or is level with within the error.

    See `charrnn.evaluation.pair_verdict` for what is compared.
    """
    own = own_figures(found)
    named: dict[Outcome, list[str]] = {"better": [], "level": [], "worse": []}
    for one in baselines:
        compared = difference(own, one, found.score.examples)
        how = "" if compared.outcome == "better" else f" ({compared})"
        named[compared.outcome].append(one.name + how)
    verbs = {"better": "beats", "level": "is level with", "worse": "does worse than"}
    parts = [f"it {verbs[one]} {', '.join(names)}" for one, names in named.items() if names]
    sentence = "; ".join(parts).removeprefix("it ")
    if named["worse"]:
        sentence += ", and has learned little"
    if named["worse"] or not named["better"]:
        sentence += (
            ". Try more pairs, more --minutes, or see whether the answers follow from the inputs "
            "at all"
        )
    return f"It {sentence}."
