"""The program `charrnn`, also as `python -m charrnn`."""

import gc
import os
import signal
import sys
from types import FrameType

from charrnn.system.platform import ENDING_SIGNALS


def main() -> None:
    """Run the command line; a signal that arrives while it is still loading ends it quietly.

    Signals that arrive after the command, while Python ends, leave its exit code as it is: a second
    SIGTERM would otherwise replace 143 by the default action.
    """
    try:
        from charrnn.cli.ranks import run

        for number in ENDING_SIGNALS:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, end_at_once)
        run(command_line)
    except KeyboardInterrupt as error:
        print("charrnn: interrupted", file=sys.stderr)
        raise SystemExit(128 + signal.SIGINT) from error
    finally:
        for number in ENDING_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        gc.freeze()  # else Python searches all objects, such as Numba's, for cycles as it ends


def end_at_once(number: int, _frame: FrameType | None) -> None:
    """Handle a signal before and after the command, where there is nothing to save."""
    os._exit(128 + number)


def command_line() -> None:
    """Run the command that was typed, or complete a line for the shell."""
    from charrnn.cli.app import app
    from charrnn.cli.output.safe_text import abandon_stdout

    try:
        app()
    except BrokenPipeError as error:  # only of completion; `app` handles those of commands
        abandon_stdout()
        raise SystemExit(0) from error


if __name__ == "__main__":
    main()
