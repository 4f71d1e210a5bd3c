"""Lists of ranges as their publishers hand them out, and rule files for ``networks/`` made of them.

Those of `analyzer.addresses.publishers` are known by content. A plain list of CIDRs (lines, or a geofeed after RFC
8805) is Cloudflare's or Fastly's where most of it lies in what is known of them; any other needs to be told what it is.
A list is taken as a whole or refused: an entry that is none may be the end of a download that broke off.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import orjson

from analyzer.addresses.networks import check_kind
from analyzer.addresses.published_list import (
    Networks,
    Published,
    PublishedRange,
    outermost,
    read_network,
    read_networks,
    short,
    texts_of,
)
from analyzer.addresses.publishers import CDNS, READERS, cdn
from analyzer.addresses.ranges import MAPPED, format_range
from analyzer.errors import RuleError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Sequence

    from analyzer.addresses.networks import NetworkFile


LARGEST = 64 << 20
"""Bytes of a list; those of the largest publishers have four million."""

_WIDTH = 118
_NAME = re.compile("[a-z0-9][a-z0-9._-]{0,63}")
#: Of the addresses of a plain list, those that a publisher is known to have, to take the list for its.
_SHARE_KNOWN = 0.8


class Said(NamedTuple):
    """What a user says of a list that does not say it itself."""

    name: str | None = None
    class_: str | None = None
    kind: str | None = None


def read_published(data: bytes, file: str, date: dt.date, known: Sequence[NetworkFile], said: Said) -> Published:
    """Read a list.

    Parameters
    ----------
    data
        The file's bytes.
    file
        Its name, for errors, for Azure's date, and as the source of a list that nobody is known for.
    date
        The day the file was written, which counts where it does not say one itself.
    known
        The shipped network files.
    said
        What the user says of it.

    Raises
    ------
    RuleError
        Where the file is none of those that are known, or is damaged; says what was expected.
    """
    if len(data) > LARGEST:
        raise RuleError(f"{file}: expected a list of at most {LARGEST >> 20} MiB, got more")
    if said.name is not None and not _NAME.fullmatch(said.name):
        raise RuleError(f'--name: expected a file name of a-z, 0-9, ".", "_" and "-", got "{short(said.name)}"')
    if data.lstrip()[:1] in {b"{", b"["}:
        found = _json(data, file, date, said)
    else:
        found = _lines(data, file, date, known, said)
    if said.name is not None:
        found = replace(found, name=said.name)
    if not found.ranges:
        raise RuleError(f"{file}: expected a list of ranges, got an empty one")
    return found


def merge(lists: Sequence[Published], known: Sequence[NetworkFile]) -> list[Published]:
    """Put lists of one name together, such as Cloudflare's of each family, and see that none falls short.

    Raises
    ------
    RuleError
        Where a list would replace a shipped file and has none of a family that this has, or not half as many ranges:
        then it is no whole list.
    """
    merged: dict[str, Published] = {}
    for each in lists:
        before = merged.get(each.name)
        if before is not None:
            each = replace(before, date=min(before.date, each.date), ranges=_together(before.ranges + each.ranges))  # noqa: PLW2901
        merged[each.name] = each
    for each in merged.values():
        networks = [pair for part in each.ranges for pair in part.networks]
        rules = [rule for file in known if file.name == each.name for rule in file.rules]
        lacks = _families((rule.first, rule.last) for rule in rules) - _families(networks)
        got = (
            f"none of {' and '.join(sorted(lacks))}"
            if lacks
            else f"{len(networks)} ranges where {len(rules)} are known"
        )
        if lacks or len(networks) < len(rules) / 2:
            hint = "give the lists of both families at once" if each.name == "cloudflare" else None
            raise RuleError(f"{each.name}: expected all of its IPv4 and IPv6 ranges, got {got}", hint)
    return list(merged.values())


def to_toml(published: Published) -> str:
    """Write a list as a rule file, in which the CIDRs are one text: so it loads fast."""
    first = published.ranges[0]
    lines = [
        "# Written by logscan networks --update.",
        f"name = {_quoted(published.title)}",
        f"class = {_quoted(first.class_)}",
        f"kind = {_quoted(first.kind)}",
        *(["registry = true"] if published.registry else []),
        f"source = {_quoted(published.source)}",
        f"date = {published.date.isoformat()}",
    ]
    for part in published.ranges:
        lines += ["", "[[range]]", f"name = {_quoted(part.name)}"]
        if (part.class_, part.kind) != (first.class_, first.kind):
            lines += [f"class = {_quoted(part.class_)}", f"kind = {_quoted(part.kind)}"]
        if part.health_probe:
            lines.append("health_probe = true")
        lines += ["cidrs = '''", *_wrapped(format_range(*pair) for pair in part.networks), "'''"]
    return "\n".join(lines) + "\n"


def _json(data: bytes, file: str, date: dt.date, said: Said) -> Published:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise RuleError(f"{file}: expected a whole JSON file, got: {error}") from error
    if isinstance(value, list):
        return _listed(texts_of(value, file), file, date, said)
    for keys, read in READERS:
        if all(isinstance(value.get(key), list | dict) for key in keys):
            found = read(value, file, date)
            if said.class_ is not None or said.kind is not None:
                raise RuleError(f"{file}: expected no --class and --kind with a list of {found.title}, which says both")
            return found
    raise RuleError(
        f"{file}: expected a list that is known, got JSON with the keys {short(', '.join(value))}",
        "known are ip-ranges.json, ServiceTags_*.json, goog.json, cloud.json, Cloudflare's and Fastly's answers",
    )


def _lines(data: bytes, file: str, date: dt.date, known: Sequence[NetworkFile], said: Said) -> Published:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RuleError(f"{file}: expected JSON or a list of CIDRs in UTF-8, got: {error.reason}") from error
    texts = []
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.partition("#")[0].replace(",", " ").split(maxsplit=1)[:1]
        if entry:
            cidr = entry[0].strip("\"'")
            read_network(cidr, f"{file}:{number}")
            texts.append(cidr)
    if said.class_ is None and said.kind is None:
        networks = read_networks(texts, file)
        for each in known:
            if each.name in CDNS and _share(networks, each) >= _SHARE_KNOWN:
                return cdn(each.name, networks, date)
    return _listed(texts, file, date, said)


def _listed(texts: Sequence[str], file: str, date: dt.date, said: Said) -> Published:
    """Read a list that nobody is known for: the user says what it is."""
    networks = read_networks(texts, file)
    if said.name is None or said.class_ is None or said.kind is None:
        raise RuleError(
            f"{file}: expected --name, --class and --kind with a list of CIDRs that is no known publisher's",
            "such as --name office --class lb --kind trusted-proxy",
        )
    check_kind(said.class_, said.kind, "--class, --kind")
    part = PublishedRange(said.name, said.class_, said.kind, networks)
    return Published(said.name, said.name, file, date, (part,))


def _share(networks: Networks, file: NetworkFile) -> float:
    """Return what part of the networks touches a known range of the file."""
    touching = sum(any(first <= rule.last and rule.first <= last for rule in file.rules) for first, last in networks)
    return touching / len(networks) if networks else 0


def _together(ranges: Iterable[PublishedRange]) -> tuple[PublishedRange, ...]:
    merged: dict[str, PublishedRange] = {}
    for each in ranges:
        before = merged.get(each.name)
        networks = each.networks if before is None else outermost([*before.networks, *each.networks])
        merged[each.name] = (before or each)._replace(networks=networks)
    return tuple(merged.values())


def _families(networks: Iterable[tuple[int, int]]) -> set[str]:
    return {"IPv4" if MAPPED <= first <= MAPPED | 0xFFFF_FFFF else "IPv6" for first, _ in networks}


def _quoted(text: str) -> str:
    """Write a text as a string of TOML, which takes no control characters and no half of a surrogate pair."""
    escaped = (f"\\u{ord(char):04x}" if char in '"\\\x7f' or char < " " else char for char in text)
    return f'"{"".join(escaped).encode(errors="replace").decode()}"'


def _wrapped(words: Iterable[str]) -> list[str]:
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + 1 + len(word) <= _WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
