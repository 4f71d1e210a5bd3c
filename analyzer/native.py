"""The parts in C, each None where logscan was installed without a compiler. Costs nothing to import."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def compiled(module: str) -> Any:
    """The compiled module of this name, or None where it was not built."""
    try:
        return import_module(module)
    except ImportError:
        return None


SCANNER = compiled("analyzer.parsing._scanner")
