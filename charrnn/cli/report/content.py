"""Content of a report: sections of blocks, the same for the HTML page and for Markdown.

All texts are plain: `page` and `markdown` escape them, and make control characters visible.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from charrnn.cli.surprisal_output import Scored
from charrnn.types import Array


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; `missing` if it says why something is not shown."""

    text: str
    missing: bool = False

    kind: ClassVar[str] = "paragraph"


@dataclass(frozen=True)
class Figures:
    """A table.

    Attributes:
        columns: titles of the columns; empty for a table without a header.
        rows: the cells, one tuple for each row.
        texts: number of leading columns that hold texts; the others hold numbers.
        title: a heading, or empty.
        highlighted: number of the row that is about this model, or None.
        bars: lengths of bars from 0 to 1, one for each row; empty for none.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: int = 1
    title: str = ""
    highlighted: int | None = None
    bars: tuple[float, ...] = ()

    kind: ClassVar[str] = "figures"


@dataclass(frozen=True)
class Series:
    """Points of a chart: x ascending, y None in a gap; joined by lines, or marked."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    marked: bool = False


@dataclass(frozen=True)
class Chart:
    """A chart of curves, with some of its figures as a table.

    Attributes:
        title: what is shown, in one sentence, for readers who do not see the chart.
        x_label: name of the x axis.
        y_label: name of the y axis.
        series: the curves.
        figures: values of the curves at some x.
        logarithmic: whether both axes are logarithmic; y is then a share, shown in percent.
        guide: value of y at which a dotted line is drawn, or None.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    figures: Figures
    logarithmic: bool = False
    guide: float | None = None

    kind: ClassVar[str] = "chart"


@dataclass(frozen=True)
class Quote:
    """A text that a model wrote, and how."""

    title: str
    text: str

    kind: ClassVar[str] = "quote"


@dataclass(frozen=True)
class Command:
    """A command line to copy."""

    text: str

    kind: ClassVar[str] = "command"


@dataclass(frozen=True)
class Units:
    """Activity of units over a passage.

    Attributes:
        names: name of each unit (U).
        values: state of each unit after each glyph, int8 (T, U): 127 times the state, which lies
            from −1 to 1.
        followed: names of features that a unit follows, and the number of that unit.
        note: which units these are.
    """

    names: tuple[str, ...]
    values: Array
    followed: tuple[tuple[str, int], ...]
    note: str


@dataclass(frozen=True)
class Passage:
    """A passage of the text by surprisal, with the activity of units; not shown in Markdown."""

    glyphs: tuple[Scored, ...]
    units: Units | None

    kind: ClassVar[str] = "passage"


Block: TypeAlias = Paragraph | Figures | Chart | Quote | Command | Passage


@dataclass(frozen=True)
class Section:
    """A section: its `id` in the page, its title and its blocks."""

    id: str
    title: str
    blocks: tuple[Block, ...]

    @classmethod
    def missing(cls, id_: str, title: str, reason: str) -> "Section":
        """Return a section that says in one sentence why it has no content."""
        return cls(id_, title, (Paragraph(reason, missing=True),))


@dataclass(frozen=True)
class Report:
    """A report on one run.

    Attributes:
        title: name of the run.
        summary: one or two sentences.
        sections: the sections in reading order.
        tags: words for the metadata of a model card.
        version: version of charrnn that wrote the report.
    """

    title: str
    summary: str
    sections: tuple[Section, ...]
    tags: tuple[str, ...]
    version: str
