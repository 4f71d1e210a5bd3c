"""The compiled scanner, or None where logscan was installed without a compiler. Costs nothing to import."""

from __future__ import annotations

from typing import Any

NATIVE: Any
try:
    from analyzer.parsing import _scanner as NATIVE  # type: ignore[attr-defined]  # noqa: N812
except ImportError:
    NATIVE = None
