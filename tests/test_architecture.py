"""Data flows one way, nothing dangerous is called, and everything public says what it is."""

import ast
import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import charrnn

ROOT = Path(charrnn.__file__).parent

ORDER = [
    "charrnn",
    "charrnn.errors",
    "charrnn.characters",
    "charrnn.limits",
    "charrnn.memory",
    "charrnn.arrays",
    "charrnn.child_processes",
    "charrnn.sharing",
    "charrnn.randomness",
    "charrnn.notes",
    "charrnn.encoding_advice",
    "charrnn.decoding",
    "charrnn.run_files",
    "charrnn.runs",
    "charrnn.text_files",
    "charrnn.text",
    "charrnn.corpora",
    "charrnn.vocabulary",
    "charrnn.corpus_checks",
    "charrnn.typed_text",
    "charrnn.large_text",
    "charrnn.npz",
    "charrnn.archive",
    "charrnn.run_records",
    "charrnn.baselines",
    "charrnn.layouts",
    "charrnn.windows",
    "charrnn.batches",
    "charrnn.pair_files",
    "charrnn.pairs",
    "charrnn.demonstrations",
    "charrnn.functions",
    "charrnn.parameters",
    "charrnn.initialisers",
    "charrnn.products",
    "charrnn.cells.base",
    "charrnn.cells.rnn",
    "charrnn.cells.lstm",
    "charrnn.cells.gru",
    "charrnn.cells",
    "charrnn.network",
    "charrnn.layer",
    "charrnn.walkback",
    "charrnn.gradients",
    "charrnn.example_gradients",
    "charrnn.jacobians",
    "charrnn.lyapunov",
    "charrnn.units",
    "charrnn.context",
    "charrnn.diagnosis",
    "charrnn.optimisers",
    "charrnn.compiled",
    "charrnn.kernels",
    "charrnn.workers",
    "charrnn.evaluation",
    "charrnn.dynamic_evaluation",
    "charrnn.pair_evaluation",
    "charrnn.recall_tasks",
    "charrnn.recall",
    "charrnn.events",
    "charrnn.training_config",
    "charrnn.lessons",
    "charrnn.pair_lessons",
    "charrnn.training",
    "charrnn.watching",
    "charrnn.calibration",
    "charrnn.presets",
    "charrnn.pair_presets",
    "charrnn.snapshot",
    "charrnn.checkpoint",
    "charrnn.streams",
    "charrnn.sampling",
    "charrnn.prediction",
    "charrnn.text_statistics",
    "charrnn.model",
    "charrnn.cli",
    "charrnn.cli.interrupts",
    "charrnn.cli.standard_streams",
    "charrnn.cli.terminal",
    "charrnn.cli.text_display",
    "charrnn.cli.options",
    "charrnn.cli.display",
    "charrnn.cli.marks",
    "charrnn.cli.charts",
    "charrnn.cli.plots",
    "charrnn.cli.metrics_log",
    "charrnn.cli.run",
    "charrnn.cli.corpus",
    "charrnn.cli.pair_material",
    "charrnn.cli.planning",
    "charrnn.cli.report",
    "charrnn.cli.pair_report",
    "charrnn.cli.watch",
    "charrnn.cli.training_run",
    "charrnn.cli.chosen",
    "charrnn.cli.start",
    "charrnn.cli.resume",
    "charrnn.cli.train_checks",
    "charrnn.cli.train",
    "charrnn.cli.sample_notes",
    "charrnn.cli.sample",
    "charrnn.cli.predict",
    "charrnn.cli.evaluate",
    "charrnn.cli.info",
    "charrnn.cli.names",
    "charrnn.cli.subjects",
    "charrnn.cli.inspection",
    "charrnn.cli.inspection_words",
    "charrnn.cli.inspection_view",
    "charrnn.cli.text_views",
    "charrnn.cli.views",
    "charrnn.cli.live",
    "charrnn.cli.probe",
    "charrnn.cli.inspect",
    "charrnn.cli.usage",
    "charrnn.cli.app",
    "charrnn.__main__",
]
"""Read downwards and you read the program: a module imports only from what stands above it."""

LONGEST = 300

TERMINAL = {"matplotlib", "rich", "tqdm", "typer"}
DANGEROUS = {"ctypes", "dill", "joblib", "marshal", "pickle", "shelve", "yaml"}
DANGEROUS_CALLS = {"__import__", "compile", "eval", "exec"}


def module_name(path: Path) -> str:
    """Return `charrnn.cells` for charrnn/cells/__init__.py, and so on."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in SOURCES.items()}

every_module = pytest.mark.parametrize("module", sorted(SOURCES))


def only_for_types(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


def at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree, leaving out what only a type checker reads."""
    for child in ast.iter_child_nodes(tree):
        if not only_for_types(child):
            yield child
            yield from at_run_time(child)


def imports(module: str) -> Iterator[str]:
    """Yield the dotted names that a module imports at run time."""
    for node in at_run_time(TREES[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            home = str(node.module)
            for alias in node.names:
                inner = f"{home}.{alias.name}"
                yield inner if inner in SOURCES else home


def called(node: ast.Call) -> str:
    """Return `np.load` for the call np.load(…)."""
    return ast.unparse(node.func)


def test_the_order_names_every_module_once() -> None:
    assert sorted(ORDER) == sorted(SOURCES)


@every_module
def test_a_module_imports_only_from_modules_above_it(module: str) -> None:
    above = set(ORDER[: ORDER.index(module)])
    ours = {name for name in imports(module) if name.split(".")[0] == "charrnn"}
    assert ours <= above, f"{module} looks back at {sorted(ours - above)}"


def test_the_order_test_sees_imports_inside_functions_too() -> None:
    assert "charrnn.limits" in set(imports("charrnn.network"))
    assert "charrnn.cells" in set(imports("charrnn.network"))
    assert "importlib" in set(imports("charrnn"))


@every_module
def test_only_the_command_line_talks_to_the_terminal(module: str) -> None:
    if module.startswith("charrnn.cli") or module == "charrnn.__main__":
        return
    assert not TERMINAL & {name.split(".")[0] for name in imports(module)}
    calls = {called(node) for node in ast.walk(TREES[module]) if isinstance(node, ast.Call)}
    assert not {"print", "input", "sys.exit"} & calls


@every_module
def test_no_module_can_run_what_it_reads(module: str) -> None:
    assert not DANGEROUS & {name.split(".")[0] for name in imports(module)}
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Call):
            name = called(node)
            assert name not in DANGEROUS_CALLS, f"{module}:{node.lineno} calls {name}"
            assert name not in ("np.load", "numpy.load", "np.savez", "np.save"), (
                f"{module}:{node.lineno} calls {name}: archives are written and read by `archive`"
            )
            words = {word.arg: word.value for word in node.keywords}
            shell = words.get("shell")
            assert shell is None or ast.unparse(shell) == "False"
            pickles = words.get("allow_pickle")
            assert pickles is None or ast.unparse(pickles) == "False"


@every_module
def test_assert_is_for_our_own_mistakes(module: str) -> None:
    conditions = [
        ast.unparse(node.test) for node in ast.walk(TREES[module]) if isinstance(node, ast.Assert)
    ]
    assert set(conditions) <= {"self.gradients is not None"}


@every_module
def test_no_handler_catches_more_than_it_understands(module: str) -> None:
    for node in ast.walk(TREES[module]):
        if not isinstance(node, ast.ExceptHandler):
            continue
        where = f"{module}:{node.lineno}"
        assert node.type is not None, f"{where} catches everything"
        caught = ast.unparse(node.type)
        if "BaseException" in caught:  # to clean up, and then let it pass
            assert isinstance(node.body[-1], ast.Raise), where
            assert node.body[-1].exc is None, where
        else:
            assert "Exception" not in caught.replace("TyperException", ""), where


@every_module
def test_no_module_is_too_long_without_a_reason(module: str) -> None:
    lines = len(SOURCES[module].read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST, f"{module} has {lines} lines"


@every_module
def test_every_module_says_what_it_is_for(module: str) -> None:
    assert ast.get_docstring(TREES[module])


def undocumented(module: str) -> Iterator[str]:
    """Yield the public functions, classes and methods that have no docstring of their own."""

    def below(tree: ast.AST, prefix: str) -> Iterator[str]:
        for node in ast.iter_child_nodes(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if node.name.startswith("_"):
                continue
            if not ast.get_docstring(node):
                yield prefix + node.name
            if isinstance(node, ast.ClassDef):
                yield from below(node, f"{prefix}{node.name}.")

    yield from below(TREES[module], "")


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_every_public_definition_has_a_docstring_or_overrides_what_has(module: str) -> None:
    silent = []
    for name in undocumented(module):
        *homes, last = name.split(".")
        home: Any = importlib.import_module(module)
        for part in homes:
            home = getattr(home, part)
        overrides = homes and any(last in vars(base) for base in home.__mro__[1:])
        if not overrides:
            silent.append(name)
    assert not silent, f"{module}: {silent}"


def test_the_public_names_are_sorted_complete_and_documented() -> None:
    names = charrnn.__all__  # in ruff's order: constants, classes, the rest (RUF022)
    assert names == sorted(names, key=lambda name: (not name.isupper(), name))
    assert set(names) == {*charrnn.HOMES, "__version__"}
    for name in charrnn.HOMES:
        assert inspect.getdoc(getattr(charrnn, name)), name
    with pytest.raises(AttributeError, match="no attribute 'Transformer'"):
        charrnn.Transformer  # noqa: B018


def test_every_public_name_is_known_to_type_checkers() -> None:
    (checked,) = (node for node in ast.walk(TREES["charrnn"]) if only_for_types(node))
    names = {
        alias.name
        for node in ast.walk(checked)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert names == set(charrnn.HOMES)
    assert (ROOT / "py.typed").exists()


def test_everything_runs_on_the_oldest_python_we_promise() -> None:
    assert sys.version_info >= (3, 11)
    for path in SOURCES.values():
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 11))
