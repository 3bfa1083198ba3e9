"""`python -m charrnn` is `charrnn`."""

from charrnn.cli.app import app

if __name__ == "__main__":
    app()
