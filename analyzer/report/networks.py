"""What ``logscan networks`` says, as data, and as JSON: ``logscan.networks/1``.

The field names below are the keys. ``networks`` are the files that count, ``addresses`` what was asked about, and
``written`` the files that were made of published lists; each is empty where it was not asked for. Keys may be added,
never renamed or dropped within ``/1``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SCHEMA = "logscan.networks/1"
OLD = 365
"""Days after which published ranges are worth a look at their source."""


@dataclass(frozen=True, slots=True)
class RangesFound:
    """Ranges under one name; `ranges` counts the networks, of both families."""

    name: str
    class_: str
    kind: str
    ranges: int


@dataclass(frozen=True, slots=True)
class NetworkFileFound:
    """A file of networks.

    `role` is ``published``, ``registry`` (counts after what the traffic shows) or ``hint`` (decides nothing).
    `replaces` says that a file of the same name was read before and counts no more. `old`: older than a year.
    """

    name: str
    title: str
    file: str
    role: str
    shipped: bool
    replaces: bool
    ranges: int
    names: list[RangesFound]
    date: str
    age_days: int
    old: bool
    source: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Addresses of one answer; `step` is who decided, ``none`` where no rule has them."""

    range: str
    class_: str
    kind: str
    rule: str
    step: str


@dataclass(frozen=True, slots=True)
class MatchFound:
    """A rule that has what was asked about, or a part of it, which `whole` tells; `range` is the rule's own."""

    step: str
    range: str
    class_: str
    kind: str
    rule: str
    whole: bool


@dataclass(frozen=True, slots=True)
class AddressAnswer:
    """What an address or a CIDR is.

    A CIDR has an answer for each part of it that differs, in the order of addresses. `rules` are in the order in which
    they count; the first decides, where no part of the CIDR is out of its range. `more_answers` and `more_rules` count
    those that are left out.
    """

    asked: str
    answers: list[Answer]
    rules: list[MatchFound]
    more_answers: int = 0
    more_rules: int = 0


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A rule file that was written, made of `files`; `replaced` says that there was one."""

    name: str
    title: str
    file: str
    replaced: bool
    ranges: int
    names: list[RangesFound]
    date: str
    source: str
    files: list[str]


@dataclass(frozen=True, kw_only=True)
class Networks:
    """All that was asked for; `rules_folder` is what ``--rules`` takes to use what was written."""

    schema: str = field(default=SCHEMA, init=False)
    version: str
    networks: list[NetworkFileFound] = field(default_factory=list)
    addresses: list[AddressAnswer] = field(default_factory=list)
    written: list[WrittenFile] = field(default_factory=list)
    rules_folder: str | None = None
