"""What one piece of a log holds: its lines taken out of their envelopes and read by the formats they fit.

Runs on a thread, touches nothing that is shared. `analyzer.runs.run` puts the pieces together again, in order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from analyzer.errors import SourceError
from analyzer.parsing.batches import Batch
from analyzer.parsing.layers import Layers, is_open
from analyzer.parsing.log_format import REASONS, LineFormat
from analyzer.parsing.origin import Origin, facts_of
from analyzer.parsing.other import OtherLines, split_lead
from analyzer.parsing.scanner import FITS_NONE, new_scanner, new_sorter
from analyzer.parsing.schema import Kind, Output
from analyzer.runs.mixed import layers_of, left_of, outer_of, text_of
from analyzer.sources.reading import tail_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.parsing.detect import Known, Shape
    from analyzer.parsing.formats import Layout
    from analyzer.parsing.layers import Inner, Layer
    from analyzer.parsing.scanner import Scanner
    from analyzer.sources import Block, Piece

#: Rejected lines that a report shows, and how much of each.
SAMPLES = 20
SAMPLE_BYTES = 500

#: Lines that fit no format are sorted when so many have come together.
_MISFITS = 100_000

#: Envelopes that may be mixed with those of most lines.
_MOST_MIXED = 4

_TOO_LONG, _CONTINUED = REASONS.index("too_long"), REASONS.index("continued")

#: What lines may say themselves of where they were written, and how many different ones are told apart.
_NAMES = ("node", "pod")
_MOST_NAMES = 65_535

_LINE = Output("line", Kind.LINE, 0)


class Rows(NamedTuple):
    """Rows of one format from one origin, in the order of the log; `lines` of it had them."""

    layout: Layout
    origin: Origin
    frame: pl.DataFrame
    lines: int


class Rejected(NamedTuple):
    """Rejected lines: how many, the first of them, and all of them as they came where they are wanted."""

    number: int
    first: list[dict[str, Any]]
    lines: bytes


@dataclass
class Scanned:
    """What a piece held.

    `lines` are those of the source; `inner` those that were scanned, fewer where records were joined. `lead` are the
    misfits at its beginning, which the piece before may explain; the others are sorted already. `mixed` says how many
    lines were read in other envelopes than the source's.
    """

    rows: list[Rows] = field(default_factory=list)
    parsed: int = 0
    lines: int = 0
    inner: int = 0
    size: int = 0
    lead: pl.DataFrame | None = None
    rejected: list[Rejected] = field(default_factory=list)
    other: OtherLines | None = None
    error: str | None = None
    mixed: dict[tuple[Layer, ...], int] = field(default_factory=dict)


class PieceScan:
    """Scans one piece.

    Parameters
    ----------
    piece
        What to read.
    shape
        What the source is; where no format is known for it, every line is tried with all.
    known
        Formats that a line may have which does not fit the source's own, and envelopes that it may be in.
    keep_rejected
        Whether rejected lines are wanted as they stand in the source.
    durations
        Whether it is wanted how long requests lasted.
    """

    def __init__(
        self,
        piece: Piece | Batch,
        shape: Shape,
        known: Known,
        *,
        keep_rejected: bool,
        durations: bool = False,
    ) -> None:
        self._piece = piece
        self._durations = durations
        self._layers = shape.layers
        self._known = known
        self._layout = shape.layout or max(known.detailed, key=_beginning)
        self._others = [layout for layout in known.last if layout.name == self._layout.name]
        self._others += [layout for layout in known.detailed if layout is not self._layout]
        self._numbered = any(layout.name == self._layout.name for layout in self._others)  # for `_keep` to sort by
        self._keep_rejected = keep_rejected
        self._found = Scanned()
        #: Of the lines that are sorted out now; a column `origin` numbers `_origins`.
        self._taken: list[tuple[Layout, pl.DataFrame]] = []
        self._origins = [Origin()]

    def outputs(self, layout: Layout) -> list[Output]:
        """What a scanner of this layout is asked for."""
        from analyzer.tables.fold import fold_outputs  # noqa: PLC0415 - rows alone (`scan`) do without tables

        named = [Output(name, Kind.TEXT, layout.columns[name]) for name in _NAMES if name in layout.columns]
        return [*fold_outputs(layout, durations=self._durations), *named]

    def scan(self) -> Scanned:
        """Read the piece."""
        outputs = self.outputs(self._layout)
        outer = self._piece.inner if isinstance(self._piece, Batch) else None
        inside = Layers(self._layers, outer) if self._layers or outer is not None else None
        numbered = inside is not None or self._numbered
        scanner = new_scanner(self._layout, [*outputs, _LINE] if numbered else outputs)
        try:
            for block in self._piece.blocks():
                self._found.size += block.stop
                if block.too_long:
                    self._take(scanner, inside)
                    scanner.reject(block.text, 0, block.stop, block.offset, block.continued)
                    self._take(scanner, None)
                    continue
                text, stop = block.text, block.stop
                if inside is not None:
                    text, stop = inside.unwrap(text, stop, block.offset)
                scanner.scan(text, 0, stop, block.offset)
                if scanner.misfits() > _MISFITS and not self._is_open(block):
                    self._take(scanner, inside)
        except SourceError as error:
            self._found.error = str(error)
        self._take(scanner, inside)
        return self._found

    def _is_open(self, block: Block) -> bool:
        """Whether a record goes on behind a block, which must not be taken apart."""
        text = block.text[: block.stop]
        return is_open(self._layers, tail_of(bytes(text), len(text)))

    def _take(self, scanner: Scanner, inside: Layers | None) -> None:
        """Sort out what was scanned so far, so that there are never many misfits at once."""
        self._origins = []
        inner = self._flushed(inside, scanner) if inside is not None else None
        self._origins = self._origins or [Origin()]
        found, taken = self._found, scanner.take()
        self._add(self._layout, taken.rows, inner)
        misfits, joined = taken.misfits, 0
        if misfits.height:
            unread = self._read_by_others(misfits, inner)
            misfits, joined = self._read_in_other_envelopes(unread, inner)
            misfits = self._placed(misfits, inner, unread)
        self._keep()
        if found.lead is None:
            found.lead, misfits = split_lead(misfits)
        self._count_other("blank", taken.blank)
        if misfits.height:
            found.other = found.other or OtherLines()
            found.rejected.append(rejected(found.other.sort(misfits), keep=self._keep_rejected))
        source_lines = inner.source_lines if inner is not None else taken.lines
        self._count_other("continuation", joined + source_lines - taken.lines)
        found.inner += taken.lines
        found.lines += source_lines

    def _flushed(self, inside: Layers, scanner: Scanner) -> Inner:
        """What is known of lines in envelopes, when the last of them are scanned; their origins get numbers."""
        text, stop = inside.flush()
        scanner.scan(text, 0, stop, 0)
        inner, first = inside.take(), len(self._origins)
        self._origins += inner.origins
        return inner._replace(lines=inner.lines.with_columns(pl.col("origin") + first)) if first else inner

    def _add(self, layout: Layout, rows: pl.DataFrame, inner: Inner | None) -> None:
        """Take rows of one format, with the time and the origin that envelopes tell of them."""
        self._found.parsed += rows.height
        if rows.is_empty():
            return
        if inner is not None:
            known = inner.lines[rows["line"]]
            own = rows["time"] if "time" in rows.columns else None
            if (own is None or own.null_count()) and known["time"].null_count() < known.height:
                told = known["time"]
                rows = rows.with_columns(told if own is None else own.zip_with(own.is_not_null(), told))
            if "offset" in rows.columns:
                rows = rows.with_columns(known["start"].alias("offset"))
            rows = rows.with_columns(known["origin"])
        self._taken.append((layout, rows))

    def _keep(self) -> None:
        """Keep what was taken, apart by format and origin; what variants of a format read is put in order again."""
        from analyzer.tables.columns import has_exact_times  # noqa: PLC0415 - as above

        formats: dict[tuple[str, bool, bool], list[tuple[Layout, pl.DataFrame]]] = {}
        for layout, rows in self._taken:
            kind = (layout.name, has_exact_times(layout), "line" in rows.columns)
            formats.setdefault(kind, []).append((layout, rows))
        for variants in formats.values():
            layout, rows = variants[0]
            if len(variants) > 1:
                rows = pl.concat([rows for _, rows in variants], how="diagonal").sort("line")
                rows = rows.with_columns(pl.col("^origin$").fill_null(0))
            rows = rows.drop("line") if "line" in rows.columns else rows
            for number, own, frame in _by_origin(rows):
                self._found.rows.append(Rows(layout, own.within(self._origins[number]), frame, frame.height))
        self._taken = []

    def _read_by_others(self, misfits: pl.DataFrame, inner: Inner | None) -> pl.DataFrame:
        """Let other formats read what does not fit the source's own; return what none of them reads."""
        tried = misfits["reason"] < _TOO_LONG
        if not tried.any() or not self._others:
            return misfits
        fits = pl.repeat(FITS_NONE, misfits.height, dtype=pl.UInt16, eager=True)
        fits = fits.scatter(tried.arg_true(), new_sorter(self._others).sort(text_of(misfits.filter(tried))))
        for number in fits.unique().sort():
            if number == FITS_NONE:
                continue
            fitting, layout = misfits.filter(fits == number), self._others[number]
            text = text_of(fitting)
            scanner = new_scanner(layout, self.outputs(layout))
            scanner.scan(text, 0, len(text), 0)
            rows = scanner.take().rows.with_columns(line=fitting["number"].cast(pl.UInt32))
            if "offset" in rows.columns:
                rows = rows.with_columns(fitting["offset"])
            self._add(layout, rows, inner)
        return misfits.filter(fits == FITS_NONE)

    def _read_in_other_envelopes(self, misfits: pl.DataFrame, inner: Inner | None) -> tuple[pl.DataFrame, int]:
        """Read lines that are in other envelopes than most; return what is not read, and how many were joined."""
        joined = 0
        for _ in range(_MOST_MIXED):
            tried = misfits.filter(pl.col("reason") < _TOO_LONG)
            layers = layers_of(tried, self._known)
            if not layers:
                break
            inside = Layers(layers, outer_of(tried, inner, self._origins))
            scanner = new_scanner(self._layout, [*self.outputs(self._layout), _LINE])
            text = text_of(tried)
            unwrapped, stop = inside.unwrap(text, len(text), 0)
            scanner.scan(unwrapped, 0, stop, 0)
            known, before = self._flushed(inside, scanner), len(self._taken)
            taken = scanner.take()
            self._add(self._layout, taken.rows, known)
            unread = self._read_by_others(taken.misfits, known)
            numbers = known.lines["number"].cast(pl.UInt32)
            for at, (layout, rows) in enumerate(self._taken[before:], before):
                self._taken[at] = layout, rows.with_columns(line=numbers.gather(rows["line"]))
                self._found.mixed[layers] = self._found.mixed.get(layers, 0) + rows.height
            left = left_of(tried, unread, known.parts)
            joined += tried.height - taken.lines - (left.height - unread.height)
            self._count_other("blank", taken.blank)
            misfits = pl.concat([misfits.filter(pl.col("reason") >= _TOO_LONG), left]).sort("number")
        return misfits, joined

    def _count_other(self, kind: str, lines: int) -> None:
        if lines:
            self._found.other = self._found.other or OtherLines()
            self._found.other.count(kind, lines)

    def _placed(self, misfits: pl.DataFrame, inner: Inner | None, unread: pl.DataFrame) -> pl.DataFrame:
        """Number misfits within the piece, with the number of the line in the source and that line as it stands there.

        An error record is told by its lines standing together, so `number` counts inner lines. `unread` are the misfits
        as they were before some were taken out of other envelopes.
        """
        at = pl.col("number")
        if inner is None:
            if self._keep_rejected and unread is not misfits:
                before = unread.select("number", raw=pl.concat_list("line"), start=pl.concat_list("offset"))
                misfits = misfits.join(before, on="number", how="left", maintain_order="left")
            return misfits.with_columns(at + self._found.inner, source_line=at + self._found.lines)
        placed = misfits.with_columns(inner.lines["number"].gather(misfits["number"]).alias("source_line"))
        if self._keep_rejected:
            starts = inner.parts.group_by("line", maintain_order=True).agg("start")
            raw = misfits.select("number").join(
                starts, left_on="number", right_on="line", how="left", maintain_order="left"
            )
            lines = [[self._piece.line_at(start) for start in part] for part in raw["start"].to_list()]
            placed = placed.with_columns(raw["start"], pl.Series("raw", lines, dtype=pl.List(pl.Binary)))
        return placed.with_columns(at + self._found.inner, pl.col("source_line") + self._found.lines)


def _beginning(layout: Layout) -> int:
    """How much a line of text must begin with: what most lines of an unknown format are the soonest told by."""
    return len(layout.prefix) if isinstance(layout, LineFormat) else 0


def _by_origin(rows: pl.DataFrame) -> Iterator[tuple[int, Origin, pl.DataFrame]]:
    """The rows of each number in the column `origin` (0 where there is none) and of what they say of it themselves."""
    said = [name for name in _NAMES if name in rows.columns]
    if said and rows.select(pl.struct(said).n_unique()).item() > _MOST_NAMES:
        rows, said = rows.drop(said), []
    key = ["origin", *said] if "origin" in rows.columns else said
    if all(rows[name].n_unique() == 1 for name in key):  # as nearly always: nothing is copied
        parts = {rows.select(key).row(0): rows.drop(key)} if key else {(): rows}
    else:
        parts = rows.partition_by(key, maintain_order=True, include_key=False, as_dict=True)
    for values, frame in parts.items():
        known = dict(zip(key, values, strict=True))
        yield known.pop("origin", 0), Origin(**dict(facts_of(known))), frame


def rejected(misfits: pl.DataFrame, *, keep: bool) -> Rejected:
    """Sum up rejected lines; `keep` says whether they are wanted whole."""
    if misfits.is_empty():
        return Rejected(0, [], b"")
    lines = misfits.filter(pl.col("reason") != _CONTINUED)
    if keep and "raw" in misfits.columns:  # a line of the other stream may stand between the parts of a record
        misfits = misfits.select("raw", "start").explode("raw", "start").sort("start").rename({"raw": "line"})
    kept = b"".join(misfits["line"].to_list()) if keep else b""
    # As Python objects: a slice of the frame would keep all of it in memory.
    return Rejected(lines.height, lines.head(SAMPLES).to_dicts(), kept)
