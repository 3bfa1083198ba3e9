"""`inspect-gradients --show`: the influence of each character of a text on the next guess."""

import csv
import io
from collections.abc import Sequence

from charrnn.analysis.context import influence
from charrnn.cli.inspect.models import InspectedModel
from charrnn.cli.inspect.view import View
from charrnn.cli.runs.metrics_log import to_json


def show_influence(chosen: list[InspectedModel], text: str, *, json: bool, as_table: bool) -> None:
    """Show what moved the guess that follows a text, for each model."""
    found = []
    for subject in chosen:
        spelled, ids = subject.prompt(text)
        found.append((subject, spelled, influence(subject.config, subject.parameters, ids)))
    if json:
        models = [
            {
                "name": subject.name,
                "text": spelled,
                "target": subject.guess(one.target),
                "probability": one.probability,
                "log_norms": one.log_norms,
                "shares": one.shares,
            }
            for subject, spelled, one in found
        ]
        print(to_json({"schema": 1, "influence": models}))
    elif as_table:
        table = [
            (subject.name, number, character, share)
            for subject, spelled, one in found
            for number, (character, share) in enumerate(zip(spelled, one.shares, strict=False))
        ]
        write_csv(("model", "position", "character", "share"), table)
    else:
        view = View()
        for subject, spelled, one in found:
            view.influence(subject, spelled, one)


def write_csv(header: tuple[str, ...], table: Sequence[tuple[object, ...]]) -> None:
    """Write a table with its header to stdout."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(table)
    print(out.getvalue(), end="")
