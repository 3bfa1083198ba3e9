"""Files of options such as --html and --csv: checked by their ending, written atomically."""

import html
from collections.abc import Callable, Iterable
from pathlib import Path

from charrnn.cli.output.safe_text import label
from charrnn.errors import StorageError, UsageError
from charrnn.system.files import write_atomically

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --page: #fff; --ink: #1b1b1b; --dim: #595959; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --page: #16181c; --ink: #e8e8e8; --dim: #a8a8a8; }} }}
body {{ background: var(--page); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif;
  max-width: 60rem; margin: 0 auto; padding: 1rem; }}
pre {{ font: 0.95rem/1.5 ui-monospace, monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; }}
{styles}</style></head><body>
<h1>{title}</h1>
"""

PAGE_END = "</body></html>\n"

MAX_HTML_CHARACTERS = 200_000
"""Characters of an HTML page; a browser is slow with more."""


def page_head(title: str, styles: str) -> str:
    """Return the beginning of a self-contained page for light and dark screens, with its title.

    Args:
        title: plain text.
        styles: CSS of the content.
    """
    return PAGE.format(title=html.escape(title), styles=styles)


def check_endings(outputs: Iterable[tuple[str, Path | None]], stem: str) -> None:
    """Raise `UsageError` unless the file of an option such as --csv ends in its name.

    Args:
        outputs: options and their files.
        stem: the name, without its ending, of the file that is advised.
    """
    for option, path in outputs:
        ending = f".{option.removeprefix('--')}"
        if path is not None and path.suffix.lower() != ending:
            raise UsageError(
                f"{option} is for a file that ends in {ending}", f"{option} {stem}{ending}"
            )


def save(option: str, path: Path, parts: Callable[[], Iterable[str]]) -> None:
    """Write a file atomically; `StorageError` if that fails."""
    try:
        write_atomically(path, (part.encode("utf-8", "backslashreplace") for part in parts()))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise StorageError(
            f"cannot write {label(str(path))} ({reason})", f"another file for {option}"
        ) from error
