"""Packages of the extra `export`, imported when they are needed."""

from importlib import import_module
from typing import Any

from charrnn.errors import UsageError


def import_package(module: str) -> Any:
    """Import a module of a package of the extra `export`.

    Args:
        module: the dotted name of the module, `safetensors.numpy` for instance.

    Raises `UsageError` if the package is not installed.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ImportError as error:
        raise UsageError(f"this needs the package {package}", f"pip install {package}") from error
