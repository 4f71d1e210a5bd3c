"""Geo databases: from an address to its country and its network operator, a column at a time.

A database file is turned into a `RangeTable` once and kept in the user's cache directory under the hash of its content,
so the next run neither parses it nor imports a reader. What the file says is read by `analyzer.addresses.mmdb`. Who
writes a cache file removes those that nobody read for `KEPT_DAYS`; the directory may be emptied at will.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import polars as pl

from analyzer.addresses import mmdb
from analyzer.addresses.ranges import MAPPED, RangeTable, address_numbers
from analyzer.errors import GeoError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PLACE = {"country": pl.String, "continent": pl.String, "asn": pl.UInt32, "as_name": pl.String}
DECIDED_BY = {"country": "country", "continent": "country", "asn": "asn", "as_name": "asn"}

# One row of lists, so that columns of different lengths share one file and one atomic write. The version is part of
# the file's name: raise it whenever a column, its meaning or what `mmdb` reads changes.
CACHE_VERSION = 1
KEPT_DAYS = 60
_WRITING = "writing-"
CACHE = pl.Schema(
    {
        "type": pl.String(),
        "built": pl.String(),
        "starts": pl.List(pl.UInt128),
        "payload": pl.List(pl.UInt32),
        **{name: pl.List(dtype) for name, dtype in PLACE.items()},
        "alias_first": pl.List(pl.UInt128),
        "alias_length": pl.List(pl.UInt8),
    }
)


class GeoDatabase:
    """One or more geo databases, asked as one; made with `GeoDatabase.open`."""

    def __init__(self, files: Sequence[_File]) -> None:
        self._files = files

    @classmethod
    def open(cls, paths: Sequence[Path]) -> GeoDatabase:
        """Read databases, from the cache where they have been read before.

        Parameters
        ----------
        paths
            One or more MMDB files with country or ASN records; an earlier file beats a later one.

        Raises
        ------
        GeoError
            A file is missing, is no MMDB, is broken, or holds neither countries nor ASNs.
        """
        return cls([_File.open(path) for path in paths])

    def lookup(self, addresses: pl.Series) -> pl.DataFrame:
        """Locate addresses.

        Parameters
        ----------
        addresses
            UInt128, IPv4 as ::ffff:a.b.c.d; null where there is none.

        Returns
        -------
        DataFrame
            One row per address: `country` (String, ISO 3166-1 alpha-2), `continent` (String, two letters), `asn`
            (UInt32), `as_name` (String); null where unknown. Country and continent come from the first file that knows
            the country, the ASN and its name from the first that knows the ASN.
        """
        found, *others = [file.lookup(addresses) for file in self._files]
        for other in others:
            both = found.hstack(other.rename(lambda name: f"other_{name}"))
            found = both.select(
                pl.when(pl.col(key).is_null() & pl.col(f"other_{key}").is_not_null())
                .then(pl.col(f"other_{name}"))
                .otherwise(pl.col(name))
                .alias(name)
                for name, key in DECIDED_BY.items()
            )
        return found

    @property
    def knows(self) -> tuple[str, ...]:
        """What it can be asked for: ``country``, ``asn``, or both."""
        return tuple(name for name in ("country", "asn") if any(name in file.knows for file in self._files))

    def describe(self) -> list[dict[str, object]]:
        """Say for each database its `file`, its `type`, when it was `built` (RFC 3339), and what it `knows`."""
        return [
            {"file": file.path, "type": file.type_, "built": file.built, "knows": file.knows} for file in self._files
        ]


def geo(
    addresses: pl.Series,
    *,
    geoip: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | GeoDatabase | None = None,
) -> pl.DataFrame:
    """Locate any column of addresses.

    Parameters
    ----------
    addresses
        Addresses as text (String, Categorical) or as numbers (UInt128, IPv4 as ``::ffff:a.b.c.d``).
    geoip
        One or more MMDB files with countries or ASNs, or a `GeoDatabase`; the files of ``LOGSCAN_GEOIP`` where not
        given.

    Returns
    -------
    polars.DataFrame
        ``country`` (String, ISO 3166-1 alpha-2), ``continent`` (String), ``asn`` (UInt32), ``as_name`` (String), a row
        for each of `addresses`; null where nothing is known of it, or it is no address.

    Raises
    ------
    UsageError
        Where no database is given, or `addresses` holds neither text nor UInt128.
    GeoError
        Where a database cannot be read.
    """
    if geoip is None:
        geoip = [name for name in os.environ.get("LOGSCAN_GEOIP", "").split(os.pathsep) if name]
    if not isinstance(geoip, GeoDatabase):
        files = [geoip] if isinstance(geoip, (str, os.PathLike)) else list(geoip)
        if not files:
            raise UsageError("geo: expected a geo database (.mmdb) as `geoip` or in LOGSCAN_GEOIP, got none")
        geoip = GeoDatabase.open([Path(file) for file in files])
    return geoip.lookup(address_numbers(addresses, "geo").alias("address"))


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    type_: str
    built: str
    table: RangeTable
    places: pl.DataFrame
    aliases: list[tuple[int, int]]

    @classmethod
    def open(cls, path: Path) -> _File:
        mmdb.check(path)
        digest = _digest(path)
        cache = _cache_path(digest)
        frame = _load(cache) if cache else None
        if frame is None:
            frame = _to_frame(mmdb.read(path))
            if _digest(path) != digest:
                raise GeoError(f"{path}: expected a file at rest, got one that changed while it was read", "run again")
            if cache:
                _store(frame, cache)
        column = {name: frame[name][0] for name in CACHE}
        return cls(
            path=str(path),
            type_=column["type"],
            built=column["built"],
            table=RangeTable(column["starts"], column["payload"]),
            places=pl.DataFrame({name: column[name] for name in PLACE}),
            aliases=list(zip(column["alias_first"], column["alias_length"], strict=True)),
        )

    @property
    def knows(self) -> list[str]:
        return [name for name in ("country", "asn") if self.places[name].null_count() < self.places.height]

    def lookup(self, addresses: pl.Series) -> pl.DataFrame:
        return self.places.select(pl.all().gather(self.table.lookup(self._unalias(addresses))))

    def _unalias(self, addresses: pl.Series) -> pl.Series:
        """Replace an address that embeds an IPv4 address (6to4, Teredo, ...) by it, where the file lets them share.

        Done on the few addresses asked for, as writing out the aliases would multiply the table.
        """
        frame = addresses.to_frame("address")
        for first, length in self.aliases:
            inside = pl.col("address").is_between(_u128(first), _u128(first + (1 << mmdb.ADDRESS_LENGTH - length) - 1))
            if frame.select(inside.any()).item():
                ipv4 = pl.col("address") // _u128(1 << mmdb.IPV4_LENGTH - length) % _u128(1 << 32)
                frame = frame.with_columns(address=pl.when(inside).then(ipv4 + _u128(MAPPED)).otherwise("address"))
        return frame.to_series()


def _u128(number: int) -> pl.Expr:
    return pl.lit(number, dtype=pl.UInt128)


def _to_frame(contents: mmdb.Contents) -> pl.DataFrame:
    columns = {
        "type": contents.type_,
        "built": contents.built,
        "starts": contents.starts,
        "payload": contents.payload,
        **dict(zip(PLACE, zip(*contents.places, strict=True), strict=True)),
        "alias_first": [first for first, _ in contents.aliases],
        "alias_length": [length for _, length in contents.aliases],
    }
    return pl.DataFrame({name: [column] for name, column in columns.items()}, schema=CACHE)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise GeoError(f"{path}: expected a MaxMind DB file (.mmdb), got {error.strerror or error}") from error


def _cache_path(digest: str) -> Path | None:
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # which the XDG specification says to ignore
        try:
            base = Path.home() / ".cache"
        except RuntimeError:
            return None
    return base / "logscan" / "geo" / f"{digest}.{CACHE_VERSION}.arrow"


def _load(cache: Path) -> pl.DataFrame | None:
    try:
        frame = pl.read_ipc(cache)
    except (OSError, pl.exceptions.PolarsError):
        return None
    if frame.schema != CACHE or frame.height != 1:
        return None
    with contextlib.suppress(OSError):
        os.utime(cache)  # when it was last of use
    return frame


def _store(frame: pl.DataFrame, cache: Path) -> None:
    """Write a cache file whole or not at all; where that fails, the next run reads the database again."""
    with contextlib.suppress(OSError, pl.exceptions.PolarsError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=_WRITING, dir=cache.parent) as folder:
            written = Path(folder, cache.name)
            frame.write_ipc(written)
            written.replace(cache)
        _clean(cache)


def _clean(cache: Path) -> None:
    """Remove what no run will read again: files of another version, those long out of use, what a killed run left."""
    now = time.time()
    for path in cache.parent.iterdir():
        with contextlib.suppress(OSError):
            days = (now - path.lstat().st_mtime) / 86_400
            if path.name.startswith(_WRITING) and days > 1:
                shutil.rmtree(path)
            elif path.suffix == ".arrow" and path != cache:
                is_current = path.name.endswith(f".{CACHE_VERSION}.arrow")
                if days > KEPT_DAYS or not is_current:
                    path.unlink()
