"""The parts in C, each None where logscan was installed without a compiler. Costs nothing to import."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any


def compiled(module: str) -> Any:
    """The compiled module of this name, or None where it was not built."""
    try:
        return import_module(module)
    except ImportError:
        return None


def random_seed() -> tuple[int, int]:
    """Two random 64-bit numbers for a hash table, so that no log can be written to make it slow."""
    return int.from_bytes(os.urandom(8), "little"), int.from_bytes(os.urandom(8), "little")


SCANNER = compiled("analyzer.parsing._scanner")
