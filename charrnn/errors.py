"""Every failure that is the input's fault, each with the exit code the command line gives it.

    CharRNNError
    ├── UsageError        2   an option or argument that makes no sense
    ├── CheckpointError   3   no checkpoint, or one that cannot be trusted
    ├── TextError         4   a text that is missing, empty, undecodable, or the wrong one
    ├── StorageError      5   the disk is full, a folder is in use, permission is denied
    ├── WorkerError       5   a worker process ended, for instance for lack of memory
    └── DivergedError     6   the loss or the gradient is no longer a finite number

A message says what is wrong, where, and what to try, in one line: `what, where; try …`.
"""

import re
from collections.abc import Collection

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


class CharRNNError(Exception):
    """Base of all errors that the user can do something about.

    Args:
        problem: what is wrong and where.
        advice: alternatives, each of which would help. One that names an option is shown by the
            commands that have this option, and left out by the others.

    Example:
        >>> error = CharRNNError("no file 'a'", "another path", "--corpus france")
        >>> str(error)
        "no file 'a'; try another path, or --corpus france"
        >>> error.message({"--temp"})
        "no file 'a'; try another path"
    """

    exit_code = 1

    def __init__(self, problem: str, *advice: str) -> None:
        super().__init__(problem, *advice)
        self.problem, self.advice = problem, advice

    def __str__(self) -> str:
        return self.message(None)

    def message(self, options: Collection[str] | None) -> str:
        """Return the problem and the advice that a command with these `options` can follow.

        `None` stands for any option. A whole command in an alternative (`charrnn …`) is kept.
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
    """An option or argument has no meaning, or contradicts another."""

    exit_code = 2


class CheckpointError(CharRNNError):
    """A checkpoint is missing, damaged, of another format, or inconsistent with itself."""

    exit_code = 3


class TextError(CharRNNError):
    """A text is missing, empty, undecodable, or not the one that was asked for."""

    exit_code = 4


class StorageError(CharRNNError):
    """Reading or writing failed for a reason outside the data: space, permission, a lock."""

    exit_code = 5


class WorkerError(CharRNNError):
    """A worker process ended before its work was done."""

    exit_code = 5


class DivergedError(CharRNNError):
    """Training produced a number that is not finite."""

    exit_code = 6
