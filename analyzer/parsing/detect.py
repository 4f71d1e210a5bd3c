"""What a source is: the envelopes round its lines, and the format that reads most of them.

A source is judged by its first bytes; one that begins with other lines, by the first of its blocks that a format reads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from analyzer.parsing.documents import document_kind
from analyzer.parsing.formats import choose_format
from analyzer.parsing.json_format import JsonFormat
from analyzer.parsing.layers import Layers
from analyzer.parsing.log_format import Type
from analyzer.parsing.scanner import new_scanner, new_sorter
from analyzer.parsing.schema import Kind, Output
from analyzer.parsing.spread import is_spread

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from analyzer.parsing.envelopes import Envelope
    from analyzer.parsing.formats import Layout, NamedFormat
    from analyzer.parsing.json_format import JsonField
    from analyzer.parsing.layers import Layer, Own
    from analyzer.parsing.log_format import Field
    from analyzer.parsing.origin import Origin

#: Bytes at the beginning of a source that are tried with every format.
HEAD = 64 << 10
#: Bytes of them that are tried with every envelope.
_FIRST = 4 << 10
#: Envelopes that may stand round one another.
_DEPTH = 4

_COLOUR = b"\x1b["

#: The name of a container (RFC 1123, as kubernetes apimachinery/pkg/util/validation has it).
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")

#: Types that many a text has by chance.
_LOOSE = frozenset({Type.TEXT, Type.USER, Type.LIST, Type.NAME, Type.BLANKS})


#: What stands for an address where there is none, and the peer of a unix socket.
_NO_ADDRESS = (b"", b"-\0", b"unix:")


@dataclass(frozen=True)
class Known:
    """The formats and envelopes to choose from; `chosen` says whether somebody said that it is one of these layouts.

    `last` are layouts for lines of a source of the same name that fit nothing else: too loose to tell a source by.
    """

    layouts: Sequence[Layout]
    envelopes: Sequence[Envelope]
    chosen: bool = False
    last: Sequence[Layout] = ()

    @cached_property
    def detailed(self) -> list[Layout]:
        """The layouts in the order in which a line is tried."""
        return by_detail(self.layouts)

    @cached_property
    def telling(self) -> Known:
        """The same, with those envelopes only that a single line shows: two words at its beginning show none."""
        telling = [each for each in self.envelopes if _telling(each.layout, 0) >= 0]
        return replace(self, envelopes=telling)

    @cached_property
    def in_order(self) -> list[tuple[Layout, tuple[bytes, ...]]]:
        """The layouts by detail, each with what stands in every line that it reads."""
        return [(layout, _marks(layout)) for layout in self.detailed]

    @cached_property
    def marked_envelopes(self) -> list[tuple[Envelope, tuple[bytes, ...]]]:
        """The envelopes, each with what stands in every line that is in it."""
        return [(envelope, _marks(envelope.layout)) for envelope in self.envelopes]


def to_choose_from(
    formats: Sequence[NamedFormat],
    envelopes: Sequence[Envelope],
    log_format: str | None,
    configured: Sequence[Layout] = (),
) -> Known:
    """What `log_format` means (`choose_format`), or else the layouts that are `configured` and all of these formats."""
    last = [layout for format_ in formats for layout in format_.last]
    if log_format is not None:
        return Known(choose_format(log_format, formats), envelopes, chosen=True, last=last)
    return Known([*configured, *(layout for format_ in formats for layout in format_.layouts)], envelopes, last=last)


class Shape(NamedTuple):
    """What a source is.

    `document` names a JSON value that holds many records (`analyzer.parsing.documents`); `layers` are round each line,
    the outermost first; `layout` reads most lines, None where no format reads any.
    """

    layout: Layout | None = None
    layers: tuple[Layer, ...] = ()
    document: str | None = None


class _Read(NamedTuple):
    """How many lines a layout reads: with an address, or none, where an address belongs; in all; and with an address.

    A first line of several that has no address is not counted. The last keeps an address from being taken for a part of
    an envelope.
    """

    sound: int
    lines: int
    addresses: int


class _Found(NamedTuple):
    read: _Read
    detail: int  #: how much the envelopes say of all lines (`_telling`)
    origin: bool  #: whether an envelope says where lines come from
    shape: Shape


def by_detail(layouts: Iterable[Layout]) -> list[Layout]:
    """Layouts in the order in which a line is tried: what says more about it comes first."""
    return sorted(layouts, key=_detail, reverse=True)


def _detail(layout: Layout) -> int:
    """How much a line says of itself that fits a layout."""
    if isinstance(layout, JsonFormat):
        return sum(field.required for field in layout.fields)
    loose = sum(field.type in _LOOSE for field in layout.fields)
    # A name of nothing, as where `-` stands else, also reads the lines of a stricter layout.
    names = sum(field.type is Type.NAME and field.column is None for field in layout.fields)
    return 3 * len(layout.fields) - 2 * loose - names


def is_told(type_: Type) -> bool:
    """Whether a field of this type tells something of the line that it is read from."""
    return type_ not in _LOOSE and type_ is not Type.WORD


def detect_head(head: bytes, known: Known) -> Shape:
    """What a source is that begins so; only `HEAD` bytes are tried."""
    document = document_kind(head)
    if document is not None:
        return Shape(document=document)
    text = head[:HEAD]
    if len(head) > HEAD:
        text = text[: text.rfind(b"\n") + 1] or text
    found = detect(text, known)
    return found._replace(layout=known.layouts[0]) if known.chosen and found.layout is None else found


def detect(text: bytes | bytearray, known: Known) -> Shape:
    """What lines are these; a shape without a layout where no format reads any of them.

    The first `HEAD` bytes are tried, and where they tell nothing the last ones.
    """
    detection = _Detection(known)
    first = bytes(text[:HEAD])
    first = (first[: first.rfind(b"\n") + 1] or first) if len(text) > HEAD else first
    shape = _shape(detection, first)
    if shape.layout is not None or len(text) <= HEAD:
        return shape
    last = bytes(text[-HEAD:])
    found = _shape(detection, last[last.find(b"\n") + 1 :])
    return found if found.layout is not None else shape


def _shape(detection: _Detection, text: bytes) -> Shape:
    first = text[:_FIRST]
    first = first[: first.rfind(b"\n") + 1] or first
    if len(first) < len(text):
        found = detection.look(first, ())
        if found.read.sound:
            return found.shape._replace(layout=detection.layout(_inside(found.shape.layers, text)))
    return detection.look(text, ()).shape


def _inside(layers: Sequence[Layer], text: bytes) -> bytes:
    if not layers:
        return text
    inside = Layers(layers)
    inner, stop = inside.unwrap(text, len(text), 0)
    return bytes(inner[:stop]) + inside.flush()[0]


class _Detection:
    """Tries envelopes and formats on some lines."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._buffers = [bytearray()]
        self._found: dict[tuple[bytes, bool], _Found] = {}  # many envelopes have the same inside

    def layout(self, text: bytes) -> Layout | None:
        """The layout that reads most of these lines, which are in no envelope."""
        objects, lines = _objects(text)
        return _best(self._layouts(text, objects, lines), text, lines)[1]

    def _layouts(self, text: bytes, objects: int, lines: int) -> list[Layout]:
        """Those that may read a line; of lines of both kinds, objects first."""
        wanted = [layout for layout, marks in self._known.in_order if all(mark in text for mark in marks)]
        of_objects = [layout for layout in wanted if reads_objects(layout)] if objects else []
        others = [layout for layout in wanted if objects < lines and not reads_objects(layout)]
        if others and not objects:
            # Of small logs most of the time went into trying one by one what reads no line.
            others = others[min(new_sorter(others).sort(text).to_list(), default=0) :]
        return of_objects + others

    def look(self, text: bytes, around: tuple[Layer, ...], *, origin: bool = False) -> _Found:
        """What lines inside these layers are; `origin` says whether the layers tell where the lines come from."""
        found = self._found.get((text, origin))
        if found is None:
            found = self._found[text, origin] = self._look(text, around, origin=origin)
        return found

    def _look(self, text: bytes, around: tuple[Layer, ...], *, origin: bool) -> _Found:
        objects, lines = _objects(text)
        read, layout = _best(self._layouts(text, objects, lines), text, lines)
        # A format that begins with a name may have taken for one what belongs to an envelope.
        word = layout is not None and not isinstance(layout, JsonFormat) and layout.fields[0].type is Type.NAME
        plain = _Found(read, -read.lines * word, origin, Shape(layout))
        if len(around) == _DEPTH or not lines:
            return plain
        found = []
        for layer in _own_layers(text):
            deeper = plain if layer in around else self.look(_inside((layer,), text), (*around, layer), origin=origin)
            if deeper is not plain and (deeper.read > plain.read or not plain.read.lines):
                found.append(_within(layer, deeper))
        for envelope, marks in self._known.marked_envelopes:
            if envelope in around or reads_objects(envelope.layout) is not (objects * 2 >= lines):
                continue
            if not all(mark in text for mark in marks):
                continue
            inside = Layers([envelope], buffers=self._buffers)
            inner, stop = inside.unwrap(text, len(text), 0)
            inner = bytes(inner[:stop]) + inside.flush()[0]
            if inner == text and not isinstance(envelope.layout, JsonFormat):
                continue  # it fits no line: text that is in an envelope is more than what is inside
            origins, fitted = inside.origins()
            told = max(sum(map(bool, origin)) for origin in origins)
            if fitted * 2 < lines or (inner == text and not told) or _names_others(envelope.layout, origins):
                continue
            deeper = self.look(inner, (*around, envelope), origin=origin or told > 0)
            if not deeper.read.lines and _is_loose(envelope.layout):
                continue
            found.append(_within(envelope, deeper, fitted * _telling(envelope.layout, told)))
        best = max(found, key=lambda one: one[:3], default=plain)
        # An envelope that the format can do without is worth taking off where it says where lines come from.
        needed = best.read > plain.read or not plain.read.lines
        return best if needed or (best.read == plain.read and best.origin and not origin) else plain


def _own_layers(text: bytes) -> Iterator[Own]:
    """The layers that are no envelopes which these lines seem to have."""
    if _COLOUR in text:
        yield "ansi"
    if is_spread(text):
        yield "objects"


def _best(layouts: Sequence[Layout], text: bytes, lines: int) -> tuple[_Read, Layout | None]:
    """The layout that reads most; of several the one that says most of a line."""
    best: tuple[_Read, Layout | None] = (_Read(0, 0, 0), None)
    for layout in layouts:
        read = _lines_read(layout, text)
        if read > best[0]:
            best = read, layout
        if read.sound == lines:
            break
    return best


def _marks(layout: Layout) -> tuple[bytes, ...]:
    """What stands in every line that a layout reads: a JSON key may be written in other ways."""
    if isinstance(layout, JsonFormat):
        return ()
    return tuple(sorted({layout.prefix, *(field.literal for field in layout.fields)}, key=len, reverse=True))


def _within(layer: Layer, found: _Found, detail: int = 0) -> _Found:
    shape = found.shape._replace(layers=(layer, *found.shape.layers))
    return found._replace(detail=found.detail + detail, shape=shape)


def _telling(layout: Layout, told: int) -> int:
    """How much a line says of itself that is in this envelope, which tells so many parts of an origin.

    Keys of an object tell them by name, the name of a log by how it is made. Words between blanks tell nothing: the
    first ones of any line are such.
    """
    if isinstance(layout, JsonFormat):
        return _detail(layout) + told
    marks = [bool(literal.strip(b" ")) for literal in (layout.prefix, *(field.literal for field in layout.fields))]
    loose = [field.type in _LOOSE for field in layout.fields]
    words = sum(word and not mark for word, mark in zip(loose[:-1], marks[1:], strict=False))
    return 3 * loose.count(False) + sum(marks) - words + ((told or -1) if "file" in layout.columns else 0)


def _names_others(layout: Layout, origins: Sequence[Origin]) -> bool:
    """Whether most words that stand for a pod's container can be none."""
    if isinstance(layout, JsonFormat) or not {"pod", "container"} <= layout.columns.keys():
        return False
    names = [origin.container or "" for origin in origins if origin.pod]
    return sum(_LABEL.fullmatch(name) is None for name in names) * 2 > len(names)


def _is_loose(layout: Layout) -> bool:
    """Whether any two words fit a layout."""
    return not isinstance(layout, JsonFormat) and all(field.type in _LOOSE for field in layout.fields)


def reads_objects(layout: Layout) -> bool:
    """Whether the lines of a layout are objects of JSON, by whatever means it reads them."""
    return isinstance(layout, JsonFormat) or layout.prefix.startswith(b"{")


def _objects(text: bytes) -> tuple[int, int]:
    """How many lines look like a JSON object, of how many that are not blank."""
    lines = [line for line in text.split(b"\n") if line.strip()]
    return sum(line.lstrip().startswith(b"{") for line in lines), len(lines)


def _lines_read(layout: Layout, text: bytes) -> _Read:
    outputs = [Output("line", Kind.LINE, 0)]
    address = layout.columns.get("remote_addr")
    if address is not None:
        outputs += [Output("address", Kind.ADDRESS, address), Output("none", Kind.TAG, address, _NO_ADDRESS)]
    fields: Sequence[Field | JsonField] = layout.fields
    names = [at for at, field in enumerate(fields) if field.type is Type.NAME and field.column in {None, "host"}]
    outputs += [Output("named", Kind.ADDRESS, at) for at in names[:1]]
    scanner = new_scanner(layout, outputs)
    scanner.scan(text, 0, len(text), 0)
    if scanner.misfits() == text.count(b"\n") + (not text.endswith(b"\n")):
        return _Read(0, 0, 0)
    rows = scanner.take().rows
    if address is None or rows.is_empty():
        return _Read(rows.height, rows.height, 0)
    if names:  # an address beside the visitor's is no name of a server or a user
        rows = rows.with_columns(pl.when(pl.col("named").is_null()).then("address").alias("address"))
    addresses = rows.height - rows["address"].null_count()
    if rows.height > 1 and rows["line"][0] == 0 and rows["address"][0] is None:
        rows = rows[1:]  # it may lack its beginning: no format must win by reading the rest of what is another's
    sound = (rows["address"].is_not_null() | (rows["none"] > 0)).sum()
    return _Read(int(sound), rows.height, addresses)
