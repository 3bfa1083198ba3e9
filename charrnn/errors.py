"""Errors that the user can correct, each with the exit code of the command line.

    CharRNNError
    ├── UsageError        2   an invalid option or argument
    ├── CheckpointError   3   a checkpoint that is missing or invalid
    ├── TextError         4   a text that is missing, empty, undecodable, or another one
    ├── StorageError      5   the disk is full, a folder is in use, permission is denied
    ├── WorkerError       5   a worker process that ended, for instance for lack of memory
    └── DivergedError     6   a loss or gradient that is not finite

A message says what is wrong, where, and what to try, in one line: `what, where; try …`.
"""

import re
from collections.abc import Collection

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


class CharRNNError(Exception):
    """Base class of all errors that the user can correct.

    Args:
        problem: what is wrong and where.
        advice: alternatives, each of which solves the problem. One that names an option is shown
            only by the commands that have this option.

    Example:
        >>> error = CharRNNError("no file 'a'", "another path", "--builtin france")
        >>> str(error)
        "no file 'a'; try another path, or --builtin france"
        >>> error.message({"--temperature"})
        "no file 'a'; try another path"
    """

    exit_code = 1

    def __init__(self, problem: str, *advice: str) -> None:
        super().__init__(problem, *advice)
        self.problem, self.advice = problem, advice

    def __str__(self) -> str:
        return self.message(None)

    def message(self, options: Collection[str] | None) -> str:
        """Return the problem and the advice that applies to a command with these `options`.

        With None all advice applies. Advice that is a whole command (`charrnn …`) always does.
        """
        kept = [
            text
            for text in self.advice
            if options is None or "charrnn " in text or set(OPTION.findall(text)) <= set(options)
        ]
        if not kept:
            return self.problem
        *others, last = kept
        listed = f"{', '.join(others)}, or {last}" if others else last
        return f"{self.problem}; try {listed}"


class UsageError(CharRNNError):
    """An option or argument is invalid, or contradicts another."""

    exit_code = 2


class CheckpointError(CharRNNError):
    """A checkpoint is missing, damaged, of another format, or inconsistent with itself."""

    exit_code = 3


class TextError(CharRNNError):
    """A text is missing, empty, undecodable, or not that of the run."""

    exit_code = 4


class StorageError(CharRNNError):
    """Reading or writing failed: no space, no permission, or a locked folder."""

    exit_code = 5


class WorkerError(CharRNNError):
    """A worker process ended unexpectedly."""

    exit_code = 5


class DivergedError(CharRNNError):
    """The loss, the gradient or a parameter is not finite."""

    exit_code = 6
