"""Every failure that is the input's fault, each with the exit code the command line gives it.

    CharRNNError
    ├── UsageError        2   an option or argument that makes no sense
    ├── CheckpointError   3   no checkpoint, or one that cannot be trusted
    ├── TextError         4   a text that is missing, empty, undecodable, or the wrong one
    ├── StorageError      5   the disk is full, a folder is in use, permission is denied
    └── DivergedError     6   the loss or the gradient is no longer a finite number

A message says what is wrong, where, and what to try, in one line: `what, where; try …`.
"""


class CharRNNError(Exception):
    """Base of all errors that the user can do something about."""

    exit_code = 1


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


class DivergedError(CharRNNError):
    """Training produced a number that is not finite."""

    exit_code = 6
