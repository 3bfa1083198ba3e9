"""Shell completion of argument values: runs and checkpoints, and names in registries.

Typer completes commands and options. A path that no run matches is completed by the shell, as the
name of a file.
"""

from collections.abc import Callable, Iterable

Completer = Callable[[str], list[str]]


def complete_from(names: Iterable[str]) -> Completer:
    """Return a completer of these values.

    Example:
        >>> complete_from(["lstm", "gru"])("l")
        ['lstm']
    """
    known = list(names)

    def complete(incomplete: str) -> list[str]:
        return [name for name in known if name.startswith(incomplete)]

    return complete


def complete_run(incomplete: str) -> list[str]:
    """Return the folders of runs under ./checkpoints that begin like this, newest first."""
    from charrnn.checkpointing.lookup import saved_runs  # loads NumPy, which --help does without

    try:
        saved = saved_runs()
    except OSError:  # no message of ours may stand in the line that is being typed
        return []
    newest_first = sorted(saved, key=lambda path: saved[path], reverse=True)
    return [str(path) for path in newest_first if str(path).startswith(incomplete)]
