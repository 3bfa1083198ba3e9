"""A model of pairs beside baselines: a table, and a sentence about which of them it beats."""

from collections.abc import Sequence

from rich.table import Table

from charrnn.cli.train.pair_metrics import PairMetrics
from charrnn.evaluation.pair_baselines import PairBaseline
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
    """Say which baselines the model beats; each is compared in the first figure that both have.

    That is the share of exact matches, the accuracy where answers are labels, and the loss. Where a
    baseline of labels is no worse in accuracy, but in the loss, both are said.
    """
    own = own_figures(found)
    beaten = [one.name for one in baselines if beats(own, one)]
    rest = [one for one in baselines if one.name not in beaten]
    partly = [one.name for one in rest if one.macro_f1 is not None and has_lower_loss(own, one)]
    others = [one.name for one in rest if one.name not in partly]
    parts = [f"It beats {', '.join(beaten)}"] if beaten else []
    if partly:
        parts.append(
            f"{'it' if parts else 'It'} beats {', '.join(partly)} in nats, not in accuracy"
        )
    sentence = "; ".join(parts)
    if not others:
        return f"{sentence}."
    known = f"{sentence}, but" if sentence else "It"
    return (
        f"{known} does no better than {', '.join(others)}: it has learned little. Try more pairs, "
        "more --minutes, or see whether the answers follow from the inputs at all."
    )


def beats(own: PairBaseline, other: PairBaseline) -> bool:
    """Return whether the model is better than a baseline in the figure that counts."""
    for name in ("macro_f1", "exact_match"):
        if getattr(other, name) is not None and getattr(own, name) is not None:
            name = "symbol_accuracy" if name == "macro_f1" else name
            return bool(getattr(own, name) > getattr(other, name))
    return has_lower_loss(own, other)


def has_lower_loss(own: PairBaseline, other: PairBaseline) -> bool:
    """Return whether the model has a lower loss than a baseline, or one of them has none."""
    if own.nats_per_symbol is None or other.nats_per_symbol is None:
        return True
    return own.nats_per_symbol < other.nats_per_symbol
