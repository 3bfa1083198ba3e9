"""Make docs/notebook.ipynb: run its cells in order, and store what they print and show.

python docs/make_notebook.py

Cells are run in this process, without Jupyter, in a new folder. As in Jupyter, the value of a last
line that is an expression is shown, as HTML if it has `_repr_html_`.
"""

import ast
import contextlib
import io
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).with_name("notebook.ipynb")

STEPS = 1500
"""Training steps of the stored notebook."""

CELLS = (
    (
        "markdown",
        """# charrnn in a notebook

Models, evaluations and gradient profiles show themselves as tables and charts. This page was made
by `python docs/make_notebook.py`.""",
    ),
    (
        "code",
        f"""import subprocess
import sys

train = "train --builtin python-docs --hidden 96 --steps {STEPS} --workers 1 --seed 1 --quiet"
trained = subprocess.run([sys.executable, "-m", "charrnn", *train.split()], check=True)""",
    ),
    ("markdown", "A model shows what `charrnn info` says:"),
    (
        "code",
        """import charrnn

model = charrnn.load("checkpoints/python-docs")
model""",
    ),
    (
        "code",
        """print("".join(model.generate("The function ", length=300, temperature=0.6, seed=3)))""",
    ),
    ("markdown", "An evaluation is a loss, with the units in which other papers give it:"),
    (
        "code",
        """from charrnn.data.builtin_texts import built_in_corpus

text = built_in_corpus("python-docs").text
training, held_out = text[: int(0.9 * len(text))], text[int(0.9 * len(text)) :]
model.evaluate(held_out[:20_000])""",
    ),
    (
        "markdown",
        "A gradient profile: how much of the loss at one character reaches the state k characters "
        "earlier (see [Inspecting gradients](inspect-gradients.md)).",
    ),
    (
        "code",
        """from charrnn.analysis.gradient_profile import gradient_profile

ids = model.vocabulary.encode(held_out)
gradient_profile(model.config, model.parameters, ids, lags=100, windows=40)""",
    ),
    ("markdown", "How much do samples share with the training text (see `charrnn novelty`)?"),
    (
        "code",
        """from charrnn.evaluation.novelty import novelties

sample = model.vocabulary.encode("".join(model.generate(length=2000, seed=4)))
known = model.vocabulary.encode(training)
found = novelties([[sample]], [known], lengths=(5, 10, 20))[0]
print(f"longest shared run: {found.longest_run} characters")
print(*(f"{n}-grams: {found.share(n):.1%} novel" for n in found.lengths), sep="\\n")""",
    ),
)


def executed(code: str, names: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Run a cell in `names`; yield its outputs in the notebook format."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    value = None
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(tree, "<cell>", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
    if text := printed.getvalue():
        yield {"output_type": "stream", "name": "stdout", "text": lines_of(text)}
    if hasattr(value, "_repr_html_"):
        data = {
            "text/html": lines_of(value._repr_html_()),
            "text/plain": [f"<{type(value).__name__}>"],
        }
        yield {
            "output_type": "execute_result",
            "execution_count": None,
            "metadata": {},
            "data": data,
        }


def lines_of(text: str) -> list[str]:
    """Return a text as notebooks store it: a list of lines with their ends."""
    return text.splitlines(keepends=True)


def run_cells(cells: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Run all cells in the working directory; return the notebook."""
    names: dict[str, Any] = {"__name__": "__main__"}
    made = []
    count = 0
    for number, (kind, source) in enumerate(cells):
        cell: dict[str, Any] = {
            "cell_type": kind,
            "id": f"cell-{number}",
            "metadata": {},
            "source": lines_of(source),
        }
        if kind == "code":
            count += 1
            outputs = list(executed(source, names))
            for output in outputs:
                if "execution_count" in output:
                    output["execution_count"] = count
            cell |= {"execution_count": count, "outputs": outputs}
        made.append(cell)
    return {
        "cells": made,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def main() -> None:
    """Write the notebook beside this file."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        notebook = run_cells(CELLS)
    content = json.dumps(notebook, indent=1, ensure_ascii=False)
    NOTEBOOK.write_text(f"{content}\n", encoding="utf-8")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
