"""Section on novelty: what samples of a model share with its training text."""

from charrnn.cli.model_novelty import ModelNovelty, Passage, conclusion, measure_novelty
from charrnn.cli.output.safe_text import one_line
from charrnn.cli.output.text_columns import decoded_text
from charrnn.cli.report.content import Figures, Paragraph, Quote, Section
from charrnn.data.large_text_files import AnyCorpus
from charrnn.errors import TextError
from charrnn.evaluation.novelty import Novelty
from charrnn.inference.model import Model
from charrnn.inference.sampling import Sampling

SHOWN_LENGTHS = (3, 4, 5, 6, 8, 10, 15, 20, 30)

MAX_RUN = 400
"""Characters of the longest shared run that are shown."""


def novelty_section(model: Model, corpus: AnyCorpus, seed: int) -> Section:
    """Compare samples, and as much held-out text, with the training text, as `charrnn novelty`."""
    title = "Does it copy?"
    try:
        found = measure_novelty(model, corpus, Sampling(seed=seed))
    except TextError as error:
        return Section.missing("novelty", title, f"Nothing was compared: {error.problem}.")
    unit = "byte" if model.vocabulary.as_bytes else "character"
    runs = [run_quote("samples", found.passage, unit, as_bytes=model.vocabulary.as_bytes)]
    if found.held_out is not None:
        passage = found.held_out_passage
        runs.append(run_quote("held-out text", passage, unit, as_bytes=model.vocabulary.as_bytes))
    about = (
        f"{found.samples.texts:,} samples of {found.length:,} {unit}s at temperature 1, seed "
        f"{seed}: share of their sequences of n {unit}s that are not in the training text and its "
        "standard error, beside that of as much held-out text, since an author repeats himself too."
    )
    return Section(
        "novelty",
        title,
        (Paragraph(about), share_figures(found), *runs, Paragraph(conclusion(found, unit))),
    )


def share_figures(found: ModelNovelty) -> Figures:
    """Return the shares of novel n-grams of samples and of held-out text."""
    groups = {"samples": found.samples}
    if found.held_out is not None:
        groups["held-out text"] = found.held_out
    rows = tuple(
        (str(n), *(share_cell(group, n) for group in groups.values())) for n in SHOWN_LENGTHS
    )
    return Figures(("n", *groups), rows, texts=0, title="Novel sequences of n")


def share_cell(group: Novelty, n: int) -> str:
    """Return a share and its standard error; "-" if no text is so long."""
    share, error = group.share(n), group.error(n)
    return "-" if share is None or error is None else f"{share:.1%} ± {error:.1%}"


def run_quote(
    name: str, passage: Passage | None, unit: str, *, as_bytes: bool
) -> Quote | Paragraph:
    """Quote the longest run that some texts share with the training text."""
    if passage is None:
        return Paragraph(f"The {name} share nothing with the training text.")
    length = len(passage.text)
    shown = one_line(decoded_text(passage.text[:MAX_RUN], as_bytes=as_bytes))
    more = "" if length <= MAX_RUN else f" (its first {MAX_RUN:,})"
    where = f"line {passage.line:,} of the training text"
    return Quote(f"Longest shared run of the {name}: {length:,} {unit}s, {where}{more}", shown)
