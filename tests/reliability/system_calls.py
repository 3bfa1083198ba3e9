"""The system calls with which a run writes its folder: counted, recorded, failing or fatal."""

import ast
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from charrnn.__main__ import main
from charrnn.cli.app import load_command
from charrnn.training import speed
from charrnn.training.backends import default_backend

default_backend()  # what these import is imported once, not in every child
load_command("train")

OF_PATHS = ("open", "replace", "unlink", "mkdir", "rmdir")
OF_DESCRIPTORS = ("write", "fsync", "ftruncate", "close")
MAX_WRITE = 4096
"""Bytes that a write takes at most, so that a small checkpoint needs several."""

DIED, FAILED = 9, 70
"""Exit codes of a child that died at a system call, and of one with a traceback."""


@dataclass(frozen=True)
class SystemCall:
    """One call: its function, the file by its name in the folder, and what was written."""

    function: str
    name: str
    target: str = ""
    content: bytes = b""


@dataclass
class SystemCalls:
    """Wraps functions of `os` for the files of one folder, which need not exist yet.

    `before` is called with the number of the call, from 0, and the name of the function; it may
    raise an OSError instead of the call, or end the process.
    """

    folder: Path
    before: Callable[[int, str], None] = lambda _number, _function: None
    made: list[SystemCall] = field(default_factory=list)
    _names: dict[int, str] = field(default_factory=dict)
    _calls: int = 0

    def install(self) -> None:
        """Replace the functions in this process, for good."""
        for function in OF_PATHS:
            setattr(os, function, self._of_path(function, getattr(os, function)))
        for function in OF_DESCRIPTORS:
            setattr(os, function, self._of_descriptor(function, getattr(os, function)))

    def save(self, path: Path) -> None:
        """Write the calls to a file."""
        path.write_text(repr([vars(call) for call in self.made]), encoding="utf-8")

    def _name(self, path: Any) -> str | None:
        """Return a path relative to the folder, "." for the folder itself, or None."""
        absolute = Path(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100 (follows no link)
        return (
            str(absolute.relative_to(self.folder)) if absolute.is_relative_to(self.folder) else None
        )

    def _count(self, function: str) -> None:
        self._calls += 1
        self.before(self._calls - 1, function)

    def _of_path(self, function: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(path: Any, *arguments: Any, **options: Any) -> Any:
            name = None if isinstance(path, int) else self._name(path)
            if name is None:
                return call(path, *arguments, **options)
            self._count(function)
            target = self._name(arguments[0]) or "" if function == "replace" else ""
            self.made.append(SystemCall(function, name, target))
            found = call(path, *arguments, **options)
            if function == "open":
                self._names[found] = name
            return found

        return called

    def _of_descriptor(self, function: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(descriptor: int, *arguments: Any) -> Any:
            name = self._names.get(descriptor)
            if name is None:
                return call(descriptor, *arguments)
            self._count(function)
            content = b""
            if function == "write":
                content = bytes(arguments[0][:MAX_WRITE])
                arguments = (content,)
            self.made.append(SystemCall(function, name, content=content))
            if function == "close":
                del self._names[descriptor]
            return call(descriptor, *arguments)

        return called


def load_calls(path: Path) -> list[SystemCall]:
    """Return the calls that `SystemCalls.save` wrote."""
    return [SystemCall(**call) for call in ast.literal_eval(path.read_text(encoding="utf-8"))]


def run_forked(
    arguments: Sequence[str],
    folder: Path,
    prepare: Callable[[], None] = lambda: None,
    finish: Callable[[], None] = lambda: None,
) -> tuple[int, str]:
    """Run a command in a child of this process; return its exit code and what it said.

    Args:
        arguments: the words after `charrnn`.
        folder: its working directory.
        prepare: called in the child before.
        finish: called in the child afterwards, unless it is killed.
    """
    output = folder / "output"
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return code, output.read_text(encoding="utf-8", errors="replace")
    code = FAILED
    try:
        os.chdir(folder)
        sys.stderr = io.TextIOWrapper(output.open("wb", buffering=0), "utf-8", write_through=True)
        sys.stdout = io.StringIO()
        speed.MAX_CALLS = 1  # what a step takes is measured for the screen only
        prepare()
        sys.argv = ["charrnn", *arguments]
        main()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        finish()
        os._exit(code)
