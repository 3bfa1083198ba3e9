"""A report as one self-contained HTML page, by a Jinja2 template that escapes every text.

Jinja2 is imported inside the functions: it is optional, and importing it takes time. The page
loads nothing: its content security policy allows its own styles and the one script, by its hash.
"""

import base64
import hashlib
import html
from pathlib import Path
from typing import Any

from charrnn.cli.output.safe_text import visible
from charrnn.cli.report.content import Chart, Passage, Report, Units
from charrnn.cli.report.svg import NARROW, WIDE, line_chart
from charrnn.cli.surprisal_output import LEVELS, Scored
from charrnn.errors import UsageError

MARKER = '<meta name="generator" content="charrnn report">'
"""Element by which a report is recognised."""

NEWLINE = "↵"
"""Picture of a newline, which more fonts have than ␊."""

HERE = Path(__file__).parent


def check_jinja() -> None:
    """Raise `UsageError` unless Jinja2 is installed; to be called before long work."""
    try:
        import jinja2  # noqa: F401  # only whether it is there
    except ImportError as error:
        raise UsageError(
            "an HTML report needs Jinja2", "pip install jinja2", "--markdown"
        ) from error


def page(report: Report) -> str:
    """Return a report as HTML. Raises `UsageError` without Jinja2."""
    check_jinja()
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        """Make control characters of every text visible; what is HTML already is safe."""
        if not isinstance(value, str) or isinstance(value, Markup):
            return value
        return visible(value).replace("␊", NEWLINE)

    def svg(chart: Chart) -> Any:
        wide, narrow = line_chart(chart, WIDE), line_chart(chart, NARROW)
        return Markup(f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>')

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        finalize=shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html.jinja").render(
        report=report,
        svg=svg,
        glyphs=lambda passage: Markup("".join(map(glyph, passage.glyphs))),
        data=passage_data,
        legend=tuple(zip("abc", ("2 to 4 bits", "4 to 6 bits", "6 bits or more"), strict=True)),
        styles=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        digest=digest,
        marker=Markup(MARKER),
    )


def glyph(one: Scored) -> str:
    """Return the element of one character; its title is for readers without JavaScript."""
    text = html.escape(one.text).replace("␊", f"{NEWLINE}\n")
    if one.nats is None:
        return f"<span>{text}</span>"
    best = ", ".join(f"{other} {p:.3f}" for other, p in one.likeliest)
    title = html.escape(f"{one.bits:.2f} bits; likeliest: {best}").replace("␊", NEWLINE)
    css = next((c for c, (least, *_) in zip("cba", LEVELS, strict=True) if one.bits >= least), "")
    attribute = f' class="{css}"' if css else ""
    return f'<span{attribute} title="{title}">{text}</span>'


def passage_data(passage: Passage) -> dict[str, Any]:
    """Return what the script shows of a passage: likeliest characters, and units if there are any.

    Symbols are numbers of `symbols`. Bits and probabilities have four decimals, `best` and `p` are
    lists for each glyph. `units.values` is base64 of int8 (T, U), row by row.
    """
    symbols: dict[str, int] = {}
    best = [
        [
            symbols.setdefault(other.replace("␊", NEWLINE), len(symbols))
            for other, _ in one.likeliest
        ]
        for one in passage.glyphs
    ]
    return {
        "bits": [None if one.nats is None else round(one.bits, 2) for one in passage.glyphs],
        "best": best,
        "p": [[round(p, 4) for _, p in one.likeliest] for one in passage.glyphs],
        "symbols": list(symbols),
        "units": None if passage.units is None else units_data(passage.units),
    }


def units_data(units: Units) -> dict[str, Any]:
    """Return the activity of units for the script."""
    return {
        "names": list(units.names),
        "values": base64.b64encode(units.values.tobytes()).decode("ascii"),
        "followed": [list(one) for one in units.followed],
    }
