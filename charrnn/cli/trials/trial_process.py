"""Process of a trial: `charrnn train`, which saves and ends when its standard input is closed.

The process that has started it holds the other end of its standard input. It closes that end to
stop the trial; the system closes it if that process is killed. Either counts as Ctrl-C.
"""

import os
import signal
import sys
import threading


def stop_when_closed() -> None:
    """Wait until standard input is closed, then send this process the signal of Ctrl-C."""
    while os.read(0, 4096):
        pass
    signal.raise_signal(signal.SIGINT)


def main() -> None:
    """Run the words of the command line as a command of charrnn."""
    threading.Thread(target=stop_when_closed, daemon=True).start()
    try:
        from charrnn.cli.app import app

        app(sys.argv[1:])
    except KeyboardInterrupt as error:
        raise SystemExit(128 + signal.SIGINT) from error


if __name__ == "__main__":
    main()
