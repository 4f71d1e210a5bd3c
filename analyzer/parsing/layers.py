"""The lines inside envelopes: takes blocks of a source apart, layer by layer, and knows where each line came from.

A layer is an envelope, the colours that a terminal program wrote, or the lines over which JSON objects are spread. All
layers of a piece pass its blocks on to one another; what they know of the lines is joined once, at the end.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

import polars as pl

from analyzer.parsing.envelopes import Envelope
from analyzer.parsing.origin import Origin, origin_of
from analyzer.parsing.scanner import ROOM, Unwrapped, new_unwrapper
from analyzer.parsing.schema import TIME
from analyzer.parsing.spread import SpreadObjects

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from analyzer.parsing.scanner import Unwrapper

#: Control sequences that colour text (ECMA-48, section 8.3.117), as stern, docker compose and uvicorn write them.
_COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
_NEWLINE = re.compile(rb"\n")

#: Origins that detection looks at: words that are none differ from line to line.
_ASKED = 50

#: A layer that takes colours away, and one that puts objects into one line.
Own = Literal["ansi", "objects"]
Layer = Envelope | Own


def name_of(layers: Sequence[Layer]) -> str:
    """As the report calls them: the outermost first, ``none`` where there is none."""
    return "+".join(layer if isinstance(layer, str) else layer.name for layer in layers) or "none"


class Inner(NamedTuple):
    """What is known of the lines inside.

    Attributes
    ----------
    lines
        Per inner line: ``number`` (of the line of the source that it began in), ``start`` (byte offset of that line),
        ``origin`` (index into `origins`), ``time`` (as the innermost envelope that has one says; null without).
    parts
        ``line``, ``start``: the source's lines that each inner line is made of, in order.
    origins
        The first knows nothing.
    source_lines
        Lines of the source that were taken apart.
    fitted
        How many of them the outermost envelope fits.
    """

    lines: pl.DataFrame
    parts: pl.DataFrame
    origins: list[Origin]
    source_lines: int
    fitted: int


class _Colourless:
    """An `Unwrapper` of lines that have colours in them and nothing round them."""

    def __init__(self) -> None:
        self._starts: list[int] = []

    def unwrap(self, text: bytes | bytearray, start: int, stop: int, offset: int, into: bytearray) -> int:
        """Write the lines without colours."""
        lines = bytes(text[start:stop])
        ends = [newline.end() for newline in _NEWLINE.finditer(lines)]
        if lines and not lines.endswith(b"\n"):
            lines += b"\n"
            ends.append(len(lines))
        self._starts += [offset + at for at in [0, *ends[:-1]]] if ends else []
        plain = _COLOUR.sub(b"", lines)
        into[: len(plain)] = plain
        return len(plain)

    def flush(self, _: bytearray) -> int:
        """Nothing waits."""
        return 0

    def take(self) -> Unwrapped:
        """Where the lines begin, which is all that is known of them."""
        starts, self._starts = self._starts, []
        lines = pl.DataFrame({"start": starts}, schema={"start": pl.UInt64}).select(
            pl.int_range(pl.len(), dtype=pl.UInt64).alias("input"),
            "start",
            pl.lit(0, pl.UInt32).alias("origin"),
            pl.lit(None, TIME).alias("time"),
        )
        joined = pl.DataFrame(schema={"line": pl.UInt64, "input": pl.UInt64, "start": pl.UInt64})
        return Unwrapped(lines, joined, [{}], len(starts), len(starts))


#: The layers that are no envelopes.
_OWN: dict[str, Callable[[], Unwrapper]] = {"ansi": _Colourless, "objects": SpreadObjects}


class Layers:
    """Takes lines out of their envelopes; for one piece of a source, on one thread.

    `outer` is what is known of the lines already, where a document holds them; all of them are then taken at once.
    `buffers` are room to use again, one for each layer.
    """

    def __init__(
        self, layers: Sequence[Layer], outer: Inner | None = None, buffers: list[bytearray] | None = None
    ) -> None:
        self._outer = outer
        self._layers: list[Unwrapper] = [
            _OWN[layer]() if isinstance(layer, str) else new_unwrapper(layer.layout, layer.join) for layer in layers
        ]
        self._buffers = buffers or [bytearray() for _ in layers]

    def unwrap(self, text: bytes | bytearray, stop: int, offset: int) -> tuple[bytes | bytearray, int]:
        """The inner lines of ``text[:stop]``, which begins at byte `offset` of the source, and how long they are.

        They are valid until the next call.
        """
        return self._pass_on(0, text, stop, offset)

    def _pass_on(
        self, first: int, text: bytes | bytearray, stop: int, offset: int = 0
    ) -> tuple[bytes | bytearray, int]:
        for number in range(first, len(self._layers)):
            into = self._room(number, stop)
            text, stop = into, self._layers[number].unwrap(text, 0, stop, offset, into)
        return text, stop

    def flush(self) -> tuple[bytes, int]:
        """The inner lines of records that still wait for their rest, which will not come."""
        found = b""
        for number, layer in enumerate(self._layers):
            into = self._room(number, 0)
            text, stop = self._pass_on(number + 1, into, layer.flush(into))
            found += text[:stop]
        return found, len(found)

    def _room(self, number: int, size: int) -> bytearray:
        wanted = size + ROOM
        if len(self._buffers[number]) < wanted:
            self._buffers[number] = bytearray(wanted)
        return self._buffers[number]

    def take(self) -> Inner:
        """What is known of the lines since the last call; there must be a layer or something outside them."""
        inner, self._outer = self._outer, None
        for layer in self._layers:
            unwrapped = layer.take()
            inner = _inner(unwrapped) if inner is None else _within(inner, unwrapped)
        if inner is None:
            raise ValueError("expected a layer")
        return inner

    def origins(self) -> tuple[list[Origin], int]:
        """What the outermost layer alone tells of some lines, and how many it fits: all that detection asks."""
        unwrapped = self._layers[0].take()
        return [origin_of(known) for known in unwrapped.origins[:_ASKED]], unwrapped.fitted


def _inner(unwrapped: Unwrapped) -> Inner:
    number, origins = _distinct(unwrapped.lines["origin"], [origin_of(known) for known in unwrapped.origins])
    return Inner(
        unwrapped.lines.rename({"input": "number"}).with_columns(number),
        _parts(unwrapped).select("line", "start"),
        origins,
        unwrapped.input_lines,
        unwrapped.fitted,
    )


def _distinct(numbers: pl.Series, origins: list[Origin]) -> tuple[pl.Series, list[Origin]]:
    """The same with each origin once: labels differ in more than those that make one."""
    places: dict[Origin, int] = {}
    merged = [places.setdefault(origin, len(places)) for origin in origins]
    if len(places) == len(origins):
        return numbers, origins
    return pl.Series(merged, dtype=numbers.dtype).gather(numbers).alias(numbers.name), list(places)


def _within(outer: Inner, unwrapped: Unwrapped) -> Inner:
    """What is known of lines that were inside the lines of `outer`."""
    around = outer.lines[unwrapped.lines["input"]]
    origin, origins = _combined(around["origin"], outer.origins, unwrapped)
    times = unwrapped.lines["time"]
    lines = around.with_columns(origin, times.zip_with(times.is_not_null(), around["time"]))
    parts = _parts(unwrapped).join(outer.parts, left_on="input", right_on="line", maintain_order="left_right")
    return outer._replace(lines=lines, parts=parts.select("line", start="start_right"), origins=origins)


def _parts(unwrapped: Unwrapped) -> pl.DataFrame:
    """Columns line, input, start: all input lines of each inner line."""
    own = unwrapped.lines.with_row_index("line").select(pl.col("line").cast(pl.UInt64), "input", "start")
    return pl.concat([own, unwrapped.joined]).sort("line", "start") if unwrapped.joined.height else own


def _combined(outer: pl.Series, outer_origins: list[Origin], inner: Unwrapped) -> tuple[pl.Series, list[Origin]]:
    """One number for each pair of an outer and an inner origin that occurs, and what they say together."""
    pairs = pl.DataFrame({"outer": outer, "inner": inner.lines["origin"]})
    distinct = pl.concat([pl.DataFrame({"outer": [0], "inner": [0]}, schema=pairs.schema), pairs])
    distinct = distinct.unique(maintain_order=True).with_row_index("origin")
    numbers = pairs.join(distinct, on=["outer", "inner"], how="left", maintain_order="left")["origin"]
    own = [origin_of(known) for known in inner.origins]
    both = [own[inside].within(outer_origins[outside]) for _, outside, inside in distinct.iter_rows()]
    return _distinct(numbers, both)


def joins(layers: Sequence[Layer]) -> bool:
    """Whether a record in these may be spread over several lines."""
    return any(layer == "objects" or (not isinstance(layer, str) and layer.join) for layer in layers)


def is_open(layers: Sequence[Layer], tail: bytes | bytearray) -> bool:
    """Whether a record that these lines of a source begin goes on in the next: no place to cut the source."""
    if not joins(layers):
        return False
    inside = Layers(layers)
    inside.unwrap(tail, len(tail), 0)
    return inside.flush()[1] > 0
