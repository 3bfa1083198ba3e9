"""Layers of packages, forbidden calls, and docstrings of everything public."""

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

import charrnn

ROOT = Path(charrnn.__file__).parent

ROOT_MODULES = {"errors", "limits", "notebook_html", "randomness", "run_files", "types"}
"""Modules of the root that any module may import; they import each other only."""

CORE = {"data", "nn", "optim"}
ALLOWED = {
    "system": set(),
    "data": {"system"},
    "nn": {"system"},
    "optim": set(),
    "training_config": {"optim"},
    "checkpointing": {*CORE, "system", "training_config"},
    "evaluation": {*CORE, "system"},
    "inference": {*CORE, "checkpointing", "evaluation"},
    "compression": {*CORE, "system", "checkpointing", "evaluation", "inference"},
    "export": {*CORE, "checkpointing", "evaluation", "inference"},
    "training": {*CORE, "system", "training_config", "checkpointing", "evaluation"},
    "analysis": {*CORE, "system", "training_config", "evaluation", "training"},
}
"""What each package may import besides itself and the modules of the root."""

ALLOWED |= {"cli": {*ALLOWED}, "__main__": {"cli", "system"}}

COMMANDS_MAY_IMPORT = {"output": set(), "runs": {"output"}}
"""What these packages of `cli` may import from it; the commands may import both."""

TERMINAL = {"matplotlib", "rich", "tqdm", "typer"}
DANGEROUS = {"ctypes", "dill", "joblib", "marshal", "pickle", "shelve", "yaml"}
SAFE_PARTS = {"joblib.Parallel", "joblib.delayed", "joblib.parallel_config"}
"""Parts of these packages that read no file: they only start functions."""

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


def imported_names(module: str) -> Iterator[str]:
    """Yield what a module imports: a package with the name that is taken from it."""
    for node in at_run_time(TREES[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def called(node: ast.Call) -> str:
    """Return `np.load` for the call np.load(…)."""
    return ast.unparse(node.func)


def package_of(module: str) -> str:
    """Return `nn` for charrnn.nn.cells.rnn; for a module of the root its own name."""
    return f"{module}.".split(".")[1]


def our_imports(module: str) -> set[str]:
    """Return the modules of this project that a module imports at run time."""
    return {name for name in imports(module) if name.split(".")[0] == "charrnn"}


def test_the_layers_name_every_package_and_every_module_of_the_root() -> None:
    assert {package_of(module) for module in SOURCES} == {"", *ROOT_MODULES, *ALLOWED}


@every_module
def test_a_package_imports_only_the_layers_below_it(module: str) -> None:
    package = package_of(module)
    allowed = {package, *ROOT_MODULES, *ALLOWED.get(package, set())} - {""}
    found = {package_of(name) for name in our_imports(module)} - {""}
    assert found <= allowed, f"{module} imports {sorted(found - allowed)}"


@every_module
def test_output_and_runs_of_the_command_line_import_no_command(module: str) -> None:
    part = f"{module}...".split(".")[2]
    if package_of(module) != "cli" or part not in COMMANDS_MAY_IMPORT:
        return
    found = {name.split(".")[2] for name in our_imports(module) if name.startswith("charrnn.cli.")}
    assert found <= {part, *COMMANDS_MAY_IMPORT[part]}


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: our_imports(module) - {module, "charrnn"} for module in SOURCES}
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(
    "code",
    [
        "import charrnn; charrnn.load, charrnn.Model, charrnn.Predictor, charrnn.LSTM",
        "from charrnn.cli.app import load_command; load_command('sample')",
        "from charrnn.cli.app import load_command; load_command('predict')",
    ],
)
def test_using_a_model_imports_nothing_of_training_or_analysis(code: str) -> None:
    code += "\nimport sys; print(*(name for name in sys.modules if name.startswith('charrnn')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {package_of(name) for name in done.stdout.split()}
    assert "inference" in loaded
    assert not loaded & {"training", "analysis"}


def test_imports_inside_functions_count_too() -> None:
    assert "charrnn.limits" in set(imports("charrnn.nn.model_config"))
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
    found = {name for name in imported_names(module) if name.split(".")[0] in DANGEROUS}
    assert found <= SAFE_PARTS
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
    assert set(names) == {*charrnn.LAZY_IMPORTS, "__version__"}
    for name in charrnn.LAZY_IMPORTS:
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
    assert names == set(charrnn.LAZY_IMPORTS)
    assert (ROOT / "py.typed").exists()


def test_everything_runs_on_the_oldest_python_we_promise() -> None:
    assert sys.version_info >= (3, 11)
    for path in SOURCES.values():
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 11))
