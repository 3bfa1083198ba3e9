"""The program `charrnn`, also as `python -m charrnn`."""

import signal
import sys


def main() -> None:
    """Run the command line; a signal that arrives while it is still loading ends it quietly."""
    try:
        from charrnn.cli.ranks import run

        run(command_line)
    except KeyboardInterrupt as error:
        print("charrnn: interrupted", file=sys.stderr)
        raise SystemExit(128 + signal.SIGINT) from error


def command_line() -> None:
    """Run the command that was typed."""
    from charrnn.cli.app import app

    app()


if __name__ == "__main__":
    main()
