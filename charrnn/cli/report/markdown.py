"""A report as a model card in Markdown: tables in place of charts, no coloured text."""

import re
from collections.abc import Iterator

from charrnn.cli.output.safe_text import one_line, visible
from charrnn.cli.report.content import (
    Block,
    Chart,
    Command,
    Figures,
    Paragraph,
    Passage,
    Quote,
    Report,
)

MARKER = "<!-- written by charrnn report -->"
"""Line by which a report is recognised."""

SPECIAL = re.compile(r"[\\`*_\[\]|~@]|www(?=\.)|:(?=//)|^[#+-](?=\s)")
"""What Markdown can give a meaning: emphasis, links, cells, bare addresses, headings and lists."""

NUMBERED = re.compile(r"^([0-9]+)([.)])(?=\s)")
"""Beginning of an item of a numbered list."""


def markdown(report: Report) -> str:
    """Return a report as Markdown, with metadata that model hubs read.

    Texts of users are escaped, so that none becomes markup or HTML.
    """
    lines = ["---", "library_name: charrnn", "tags:", *(f"- {tag}" for tag in report.tags)]
    lines += ["---", MARKER, "", f"# {inline(report.title)}", "", inline(report.summary), ""]
    for section in report.sections:
        lines += [f"## {section.title}", ""]
        for block in section.blocks:
            lines += [*block_lines(block)]
    lines += [f"Written by `charrnn report`, version {report.version}."]
    return "\n".join(lines) + "\n"


def block_lines(block: Block) -> Iterator[str]:
    """Yield the lines of a block, and an empty one after it."""
    match block:
        case Paragraph():
            yield from (inline(block.text), "")
        case Figures():
            yield from table(block)
        case Chart():
            yield from table(block.figures)
        case Quote():
            yield from (f"{inline(block.title)}:", "", *fenced(block.text), "")
        case Command():
            yield from (*fenced(one_line(block.text), "sh"), "")
        case Passage():
            return


def table(figures: Figures) -> Iterator[str]:
    """Yield a table; the row about this model is bold."""
    if figures.title:
        yield from (f"{inline(figures.title)}:", "")
    width = len(figures.rows[0]) if figures.rows else len(figures.columns)
    yield row(figures.columns or ("",) * width)
    yield row_of("---" if column < figures.texts else "---:" for column in range(width))
    for number, cells in enumerate(figures.rows):
        yield row(cells, bold=number == figures.highlighted)
    yield ""


def row(cells: tuple[str, ...], *, bold: bool = False) -> str:
    """Return a row of a table."""
    shown = map(inline, cells)
    return row_of(f"**{cell}**" if bold and cell else cell for cell in shown)


def row_of(cells: Iterator[str]) -> str:
    """Return cells, which are Markdown, as a row."""
    return f"| {' | '.join(cells)} |"


def inline(text: str) -> str:
    """Return a plain text as Markdown on one line.

    Example:
        >>> inline("a*b <script> http://x")
        'a\\\\*b &lt;script> http\\\\://x'
    """
    safe = one_line(text).replace("&", "&amp;").replace("<", "&lt;")
    escaped = SPECIAL.sub(lambda one: "ww&#119;" if one[0] == "www" else f"\\{one[0]}", safe)
    return NUMBERED.sub(r"\1\\\2", escaped)


def fenced(text: str, language: str = "") -> Iterator[str]:
    """Yield a text as a code block, in a fence longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"{fence}{language}"
    yield from visible(text).split("\n")
    yield fence
