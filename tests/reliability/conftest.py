"""The reliability goals: a quick part in every run of the tests, the whole with `-m reliability`.

A test with a number of tries takes it as a parameter: `tries(5, whole=200)` runs 5 of them in every
run of the tests and 200 with `pytest -m reliability`. What a test measured goes to `record_figure`;
`pytest -m reliability` prints it at its end.
"""

from collections.abc import Callable

import pytest

FIGURES = pytest.StashKey[dict[str, str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = {}


@pytest.fixture
def record_figure(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Record what a test measured, to be printed at the end: `record_figure("kills", "200")`."""

    def record(name: str, value: str) -> None:
        if request.node.get_closest_marker("reliability") is not None:
            request.config.stash[FIGURES][name] = value

    return record


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if figures := config.stash[FIGURES]:
        terminalreporter.section("reliability figures")
        for name in sorted(figures):
            terminalreporter.write_line(f"{name}: {figures[name]}")
