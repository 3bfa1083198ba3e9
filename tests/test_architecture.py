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
    "charrnn.system",
    "charrnn.data",
    "charrnn.nn",
    "charrnn.optim",
    "charrnn.checkpointing",
    "charrnn.evaluation",
    "charrnn.inference",
    "charrnn.training",
    "charrnn.analysis",
    "charrnn.cli",
    "charrnn.cli.output",
    "charrnn.cli.runs",
    "charrnn.cli.train",
    "charrnn.cli.inspect",
    "charrnn.errors",
    "charrnn.data.characters",
    "charrnn.limits",
    "charrnn.system.memory",
    "charrnn.types",
    "charrnn.system.child_processes",
    "charrnn.system.shared_arrays",
    "charrnn.randomness",
    "charrnn.data.file_notes",
    "charrnn.data.encoding_detection",
    "charrnn.data.decoding",
    "charrnn.run_files",
    "charrnn.checkpointing.lookup",
    "charrnn.data.file_discovery",
    "charrnn.data.text_files",
    "charrnn.data.builtin_texts",
    "charrnn.data.vocabulary",
    "charrnn.data.corpus_checks",
    "charrnn.data.typed_text",
    "charrnn.data.large_text_files",
    "charrnn.checkpointing.npz_format",
    "charrnn.checkpointing.npz_file",
    "charrnn.checkpointing.run_records",
    "charrnn.evaluation.baselines",
    "charrnn.data.layouts",
    "charrnn.data.text_batches",
    "charrnn.data.pair_batches",
    "charrnn.data.pair_formats",
    "charrnn.data.pair_files",
    "charrnn.data.builtin_pairs",
    "charrnn.nn.ops",
    "charrnn.nn.parameters",
    "charrnn.nn.initialisers",
    "charrnn.nn.recurrent_matmul",
    "charrnn.nn.cells.base",
    "charrnn.nn.cells.rnn",
    "charrnn.nn.cells.lstm",
    "charrnn.nn.cells.gru",
    "charrnn.nn.cells",
    "charrnn.nn.network",
    "charrnn.nn.stateful",
    "charrnn.analysis.layer_backprop",
    "charrnn.analysis.gradient_profile",
    "charrnn.analysis.pair_gradient_profile",
    "charrnn.analysis.jacobians",
    "charrnn.analysis.lyapunov",
    "charrnn.analysis.unit_stats",
    "charrnn.analysis.context",
    "charrnn.analysis.diagnosis",
    "charrnn.optim.optimisers",
    "charrnn.training.numba_backend",
    "charrnn.training.backends",
    "charrnn.training.worker_pool",
    "charrnn.evaluation.text",
    "charrnn.evaluation.dynamic",
    "charrnn.evaluation.pairs",
    "charrnn.analysis.memory_tasks",
    "charrnn.analysis.memory_probe",
    "charrnn.training.events",
    "charrnn.training_config",
    "charrnn.training.text_dataset",
    "charrnn.training.pair_dataset",
    "charrnn.training.trainer",
    "charrnn.analysis.gradient_monitor",
    "charrnn.training.speed",
    "charrnn.training.presets",
    "charrnn.training.pair_presets",
    "charrnn.training.snapshot",
    "charrnn.checkpointing.checkpoint",
    "charrnn.inference.fast_step",
    "charrnn.inference.sampling",
    "charrnn.inference.predictor",
    "charrnn.evaluation.text_statistics",
    "charrnn.inference.model",
    "charrnn.cli.runs.signals",
    "charrnn.cli.output.standard_streams",
    "charrnn.cli.output.safe_text",
    "charrnn.cli.output.text_columns",
    "charrnn.cli.options",
    "charrnn.cli.output.console",
    "charrnn.cli.output.text_plots",
    "charrnn.cli.output.log_chart",
    "charrnn.cli.output.image_plots",
    "charrnn.cli.runs.metrics_log",
    "charrnn.cli.runs.run_folder",
    "charrnn.cli.runs.load_text",
    "charrnn.cli.runs.load_pairs",
    "charrnn.cli.train.planning",
    "charrnn.cli.train.text_report",
    "charrnn.cli.train.pair_report",
    "charrnn.cli.output.gradient_panel",
    "charrnn.cli.train.loop",
    "charrnn.cli.train.repeat_options",
    "charrnn.cli.train.setup",
    "charrnn.cli.train.resume",
    "charrnn.cli.train.checks",
    "charrnn.cli.train.command",
    "charrnn.cli.sample_notes",
    "charrnn.cli.sample",
    "charrnn.cli.predict",
    "charrnn.cli.evaluate",
    "charrnn.cli.info",
    "charrnn.cli.inspect.model_names",
    "charrnn.cli.inspect.models",
    "charrnn.cli.inspect.inspection",
    "charrnn.cli.inspect.wording",
    "charrnn.cli.inspect.view",
    "charrnn.cli.inspect.text_view",
    "charrnn.cli.inspect.checks",
    "charrnn.cli.inspect.live",
    "charrnn.cli.inspect.probe",
    "charrnn.cli.inspect.command",
    "charrnn.cli.usage_messages",
    "charrnn.cli.app",
    "charrnn.__main__",
]
"""Read downwards and you read the program: a module imports only from what stands above it."""

TERMINAL = {"matplotlib", "rich", "tqdm", "typer"}
DANGEROUS = {"ctypes", "dill", "joblib", "marshal", "pickle", "shelve", "yaml"}
DANGEROUS_CALLS = {"__import__", "compile", "eval", "exec"}


def module_name(path: Path) -> str:
    """Return `charrnn.nn.cells` for charrnn/nn/cells/__init__.py, and so on."""
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
    assert "charrnn.limits" in set(imports("charrnn.nn.network"))
    assert "charrnn.nn.cells" in set(imports("charrnn.nn.network"))
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
