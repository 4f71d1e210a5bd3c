"""Frames that come from C: a struct column behind the Arrow PyCapsule interface, which Polars takes over as it is."""

from __future__ import annotations

import polars as pl


class _Struct:
    def __init__(self, capsules: tuple[object, object]) -> None:
        self._capsules = capsules

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        return self._capsules


def frame_of(capsules: tuple[object, object]) -> pl.DataFrame:
    """The frame behind a pair of capsules (schema, array) of a struct column, without a copy."""
    return pl.Series(_Struct(capsules)).struct.unnest()
