"""What ``logscan formats`` says, as data, and as JSON: ``logscan.formats/1``.

The field names below are the keys. ``formats``, ``envelopes`` and ``documents`` are those that are known, or those
asked for by name; ``sources`` is what was found in each log. Lists are empty where nothing was asked for or found,
absent facts are null. Keys may be added, never renamed or dropped within ``/1``. Text from a log stands as JSON escapes
where it could drive a terminal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analyzer.readings.missing import LogInstead, Missing

SCHEMA = "logscan.formats/1"


@dataclass(frozen=True, slots=True)
class KnownLayout:
    """A format or envelope that is known.

    `texts` are the ``log_format`` strings of its variants; `json` says for each variable at which JSON pointers it
    stands, the best first; `required` which of them a line must have. `columns` are those that its lines carry.
    """

    name: str
    aliases: list[str]
    title: str
    source: str
    texts: list[str]
    json: dict[str, list[str]]
    required: list[str]
    columns: list[str]


@dataclass(frozen=True, slots=True)
class KnownDocument:
    """A kind of JSON document that holds many records."""

    name: str
    title: str


@dataclass(frozen=True, slots=True)
class ColumnFound:
    """A column that the format carries: in how many of the lines read it has a value, and their share."""

    name: str
    lines: int
    pct: float


@dataclass(frozen=True, slots=True)
class NamesFound:
    """How many nodes, pods, namespaces or containers wrote the lines, and the first of them."""

    distinct: int
    names: list[str]


@dataclass(frozen=True, slots=True)
class RejectedLine:
    """A line that cannot be read; lines and columns begin at 1.

    `column` is the character of it where it stops fitting, null where there is no such place. `text` is a part of the
    line, without its envelopes, that begins at the column `text_begins`.
    """

    line: int
    column: int | None
    reason: str
    text: str
    text_begins: int


@dataclass(frozen=True, slots=True)
class Nearest:
    """The known format that lines of an unknown one fit furthest, and why they do not fit it."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class SuggestedFormat:
    """A ``log_format`` string that reads `read` of `lines` lines that no known format reads."""

    log_format: str
    read: int
    lines: int


@dataclass(frozen=True, slots=True)
class SuggestedKey:
    """A key of JSON lines as a pointer, how many of those looked at have it, one value, and what it may be."""

    pointer: str
    lines: int
    example: str
    variable: str | None


@dataclass(frozen=True, slots=True)
class SuggestedRule:
    """A rule file for JSON lines that no known format reads, as TOML; it reads `read` of `lines` lines."""

    toml: str
    read: int
    lines: int


@dataclass(frozen=True, slots=True)
class SourceFound:
    """What a log is.

    `bytes` (decompressed) were looked at; `whole` says whether that is all of it. ``lines = parsed + rejected +
    other``. `formats` says how many lines each format read; `format` reads most of them. `envelopes` are named from the
    outside in; `mixed` says how many lines were read in which others, joined by ``+``. `compression` is null where
    there is none or nobody knows.
    """

    uri: str
    error: str | None = None
    compression: str | None = None
    bytes: int = 0
    whole: bool = True
    document: str | None = None
    envelopes: list[str] = field(default_factory=list)
    mixed: dict[str, int] = field(default_factory=dict)
    format: str | None = None
    title: str | None = None
    formats: dict[str, int] = field(default_factory=dict)
    lines: int = 0
    parsed: int = 0
    rejected: int = 0
    other: int = 0
    other_kinds: dict[str, int] = field(default_factory=dict)
    origins: dict[str, NamesFound] = field(default_factory=dict)
    columns: list[ColumnFound] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    log_instead: LogInstead | None = None
    rejected_samples: list[RejectedLine] = field(default_factory=list)
    nearest: Nearest | None = None
    suggested_format: SuggestedFormat | None = None
    suggested_keys: list[SuggestedKey] = field(default_factory=list)
    suggested_rule: SuggestedRule | None = None


@dataclass(frozen=True, kw_only=True)
class Description:
    """All that was asked for; `listing` says that nothing was, and that it is all that is known."""

    schema: str = field(default=SCHEMA, init=False)
    version: str
    listing: bool = False
    formats: list[KnownLayout] = field(default_factory=list)
    envelopes: list[KnownLayout] = field(default_factory=list)
    documents: list[KnownDocument] = field(default_factory=list)
    sources: list[SourceFound] = field(default_factory=list)
