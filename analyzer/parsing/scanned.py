"""What scanners and unwrappers are asked for and give, the native ones as the portable."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from analyzer.errors import FormatError
from analyzer.parsing.json_format import EVERY_ELEMENT, JsonFormat

if TYPE_CHECKING:
    import polars as pl

    from analyzer.parsing.json_format import JsonField, Layout
    from analyzer.parsing.log_format import Field

#: What an envelope may say of where a line comes from.
ORIGIN = ("node", "pod", "namespace", "container", "labels", "file")
#: How a record that was split over several lines is told, by the number that the native unwrapper has for it.
JOINS = ("", "cri", "newline")

#: Bytes that may wait for their continuation, both streams together.
MOST_WAITING = 1 << 20
#: Room that a buffer needs beyond the text that is unwrapped into it: for what waits, and for ends of lines.
ROOM = MOST_WAITING + 16

#: What a sorter says of a line that no layout fits.
FITS_NONE = 65535


class Taken(NamedTuple):
    """What a scanner read: rows, misfits (`MISFITS`), how many lines in all, and blank ones it did not keep."""

    rows: pl.DataFrame
    misfits: pl.DataFrame
    lines: int
    blank: int


class Unwrapped(NamedTuple):
    """What came out of envelopes since the last `take`.

    Attributes
    ----------
    lines
        A row per inner line. `input`: number of the first input line it was made of, counted from the last `take`; one
        from before it is counted back, modulo 2**64. `start`: byte offset of that line. `origin`: index into `origins`.
        `time`: what the envelope says, or null.
    joined
        Further input lines of inner lines that were joined. `line`: number of the inner line. `input`, `start`: as
        above.
    origins
        Whatever is known of where lines come from, of all lines so far; the first is empty.
    fitted
        Input lines that the layout fits.
    input_lines
        All input lines.
    """

    lines: pl.DataFrame
    joined: pl.DataFrame
    origins: list[dict[str, str]]
    fitted: int
    input_lines: int


class Roles(NamedTuple):
    """Which fields of an envelope's layout say what, by their numbers; -1 where none does."""

    message: int
    origins: tuple[tuple[str, int], ...]
    join: int
    cri_tag: int
    stream: int
    time: int


def roles_of(layout: Layout, join: str | None) -> Roles:
    """Find the fields of an envelope.

    Raises
    ------
    FormatError
        For a way of joining that there is not, and for a message in many places at once.
    """
    join = join or ""
    if join not in JOINS:
        raise FormatError(f"join: expected cri or newline, got {join!r}")
    columns = layout.columns
    message = columns.get("message", -1)
    if isinstance(layout, JsonFormat) and message >= 0:
        for pointer in layout.fields[message].pointers:
            if EVERY_ELEMENT in pointer:
                raise FormatError("JSON format: expected one place for the message, got a pointer through `*`")
    fields: tuple[Field | JsonField, ...] = layout.fields
    named = {of_line.variable: number for number, of_line in enumerate(fields)}
    return Roles(
        message,
        tuple((name, columns[name]) for name in ORIGIN if name in columns),
        JOINS.index(join),
        named.get("cri_tag", -1),
        named.get("stream", -1),
        columns.get("time", -1),
    )


def named_origin(names: tuple[tuple[str, int], ...], texts: tuple[bytes, ...]) -> dict[str, str]:
    """What is known of an origin, by name."""
    return {name: text.decode("utf-8", "replace") for (name, _), text in zip(names, texts, strict=True) if text}
