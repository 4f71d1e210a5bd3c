"""Files of geo databases: the cache, broken files, and those that change; none does harm."""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING
from unittest.mock import Mock

import polars as pl
import pytest
from geo_databases import EDGES, GB, NETWORKS, locate

from analyzer.addresses import mmdb as reading
from analyzer.addresses.geo import GeoDatabase
from analyzer.errors import GeoError
from tests import mmdb

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("cache")


def test_cache_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second run answers the same without reading the database's records, under whatever name it now has."""
    path = mmdb.write(tmp_path / "a.mmdb", NETWORKS)
    fresh = locate(GeoDatabase.open([path]), *EDGES)
    monkeypatch.setattr(reading, "read", None)
    renamed = path.rename(tmp_path / "b.mmdb")
    database = GeoDatabase.open([renamed])
    assert locate(database, *EDGES) == fresh
    assert database.describe()[0]["file"] == str(renamed)


def test_new_content_is_read_anew(tmp_path: Path, cache: Path) -> None:
    """An updated database is never answered from the cache of the old one, and nothing but cache files is left."""
    path = mmdb.write(tmp_path / "a.mmdb", {"10.0.0.0/8": {"country_code": "AA"}})
    assert locate(GeoDatabase.open([path]), "10.0.0.1")[0][0] == "AA"
    mmdb.write(path, {"10.0.0.0/8": {"country_code": "BB"}})
    assert locate(GeoDatabase.open([path]), "10.0.0.1")[0][0] == "BB"
    assert {file.suffix for file in cache.iterdir()} == {".arrow"}


def test_old_cache_files_go(tmp_path: Path, cache: Path) -> None:
    """Whoever writes a cache file removes what no run reads any more, and nothing that one may."""
    first = mmdb.write(tmp_path / "1.mmdb", {"10.0.0.0/8": {"country_code": "AA"}})
    GeoDatabase.open([first])
    (kept,) = cache.iterdir()
    days = 86_400
    names = {"old.1.arrow": 90, "recent.1.arrow": 3, "other.0.arrow": 0, "notes.txt": 90}
    for name, age in names.items():
        (cache / name).write_bytes(b"")
        os.utime(cache / name, (time.time() - age * days,) * 2)
    for name, age in (("writing-dead", 2), ("writing-alive", 0)):
        (cache / name).mkdir()
        (cache / name / "part.arrow").write_bytes(b"")
        os.utime(cache / name, (time.time() - age * days,) * 2)
    os.utime(kept, (time.time() - 90 * days,) * 2)
    GeoDatabase.open([first])  # which is of use again
    GeoDatabase.open([mmdb.write(tmp_path / "2.mmdb", {"10.0.0.0/8": {"country_code": "BB"}})])
    left = {path.name for path in cache.iterdir()}
    assert len(left) == 5
    assert left > {kept.name, "recent.1.arrow", "notes.txt", "writing-alive"}


@pytest.mark.parametrize("damage", ["empty", "junk", "cut", "another table", "directory"])
def test_damaged_cache(damage: str, tmp_path: Path, cache: Path) -> None:
    """A cache file that cannot be used is passed over and, where it can be, written again."""
    path = mmdb.write(tmp_path / "a.mmdb", NETWORKS)
    fresh = locate(GeoDatabase.open([path]), *EDGES)
    (cached,) = cache.iterdir()
    content = cached.read_bytes()
    cached.unlink()
    if damage == "directory":
        cached.mkdir()
    elif damage == "another table":
        pl.DataFrame({"type": ["x"]}).write_ipc(cached)
    else:
        cached.write_bytes({"empty": b"", "junk": b"junk" * 999, "cut": content[: len(content) // 2]}[damage])
    assert locate(GeoDatabase.open([path]), *EDGES) == fresh
    assert cached.is_dir() or cached.read_bytes() == content


@pytest.mark.parametrize("base", ["a file", "relative", "no home"])
def test_unusable_cache(base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be cached the database still answers, and nothing is written where it does not belong."""
    path = mmdb.write(tmp_path / "a.mmdb", NETWORKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", {"a file": str(path), "relative": "here", "no home": ""}[base])
    if base == "no home":
        monkeypatch.setattr("pathlib.Path.home", Mock(side_effect=RuntimeError))
    assert locate(GeoDatabase.open([path]), "81.2.69.1")[0][0] == "GB"
    assert {item.name for item in tmp_path.iterdir()} == {"a.mmdb"} | ({"home"} if base == "relative" else set())


def broken(name: str) -> bytes:
    """Return the content of a file that is not what it seems."""
    record = mmdb.encode({"country_code": "GB"})
    chain = [[node + 1, node + 1] for node in range(126)]
    # Below ::/1 a chain to IPv4 at node 96, below 8000::/1 a tree of which every leaf is that node again.
    aliases = [[1, 97], *([node + 1, mmdb.EMPTY] for node in range(1, 96)), [mmdb.leaf(0)] * 2]
    aliases += [[2 * node + 98, 2 * node + 99] if node < 63 else [96, 96] for node in range(127)]
    return {
        "empty": b"",
        "text": b"not a database\n" * 99,
        "no data": mmdb.assemble([[mmdb.leaf(9999), mmdb.EMPTY]], record),
        "tree past the end": mmdb.assemble([[0, 0]], record, node_count=9999),
        "no networks": mmdb.assemble([[mmdb.EMPTY, mmdb.EMPTY]], record),
        "other keys": mmdb.assemble([[mmdb.leaf(0), mmdb.EMPTY]], mmdb.encode({"connection_type": "Cable"})),
        "no map": mmdb.assemble([[mmdb.leaf(0), mmdb.EMPTY]], mmdb.encode(["GB"])),
        "loop": mmdb.assemble([[0, 0]], record),
        "loop with a way out": mmdb.assemble([[0, mmdb.leaf(0)]], record, ip_version=4),
        "2**127 networks": mmdb.assemble([*chain, [mmdb.leaf(0), mmdb.EMPTY]], record),
        "2**127 empty networks": mmdb.assemble([*chain, [mmdb.EMPTY, mmdb.EMPTY]], record),
        "128 aliases": mmdb.assemble(aliases, record),
        "metadata is no map": mmdb.assemble([[0, 0]], record)[:100] + b"\xab\xcd\xefMaxMind.com" + mmdb.encode("x"),
        "metadata is cut": mmdb.assemble([[mmdb.leaf(0), mmdb.EMPTY]], record)[:-20],
        "record size of 25": mmdb.assemble([[mmdb.leaf(0), mmdb.EMPTY]], record).replace(b"\xa1\x18", b"\xa1\x19"),
        "IP version 5": mmdb.assemble([[mmdb.leaf(0), mmdb.EMPTY]], record, ip_version=5),
        "built in the year 10**9": mmdb.assemble([[mmdb.leaf(0), mmdb.EMPTY]], record, build_epoch=2**62),
        "text that is not UTF-8": mmdb.assemble([[mmdb.leaf(0), mmdb.EMPTY]], record.replace(b"GB", b"\xff\xfe")),
        "a pointer to itself": mmdb.assemble([[mmdb.leaf(0), mmdb.EMPTY]], b"\xe1\x41a\x20\x00"),
    }[name]


@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("empty", "got a file without database metadata at its end"),
        ("text", "got a file without database metadata at its end"),
        ("no networks", "expected records with a country or an ASN, got none in this 'Test'"),
        ("other keys", "expected records with a country or an ASN, got none in this 'Test'"),
        ("no map", "expected records with a country or an ASN, got none in this 'Test'"),
        ("no data", "got a broken one"),
        ("tree past the end", "got a broken one"),
        ("loop", "got a broken one"),
        ("loop with a way out", "got a broken one"),
        ("2**127 networks", "got a broken one"),
        ("2**127 empty networks", "got a broken one"),
        ("128 aliases", "got a broken one"),
        ("metadata is no map", "got a broken one"),
        ("metadata is cut", "got a broken one"),
        ("record size of 25", "got a broken one"),
        ("IP version 5", "got a broken one"),
        ("built in the year 10**9", "got a broken one"),
        ("text that is not UTF-8", "got a broken one"),
        ("a pointer to itself", "got a broken one"),
    ],
)
def test_errors(name: str, got: str, tmp_path: Path, cache: Path) -> None:
    """A file that cannot be used is one clear error that names it, soon, and is never cached."""
    path = tmp_path / "a.mmdb"
    path.write_bytes(broken(name))
    with pytest.raises(GeoError, match=r"^\S*/a\.mmdb: expected [^\n]+, got [^\n]+$") as raised:
        GeoDatabase.open([path])
    assert got in str(raised.value)
    assert not cache.exists()


def test_errors_of_the_file_system(tmp_path: Path) -> None:
    """A missing file, a directory and an archive are told apart, the archive with what to do about it."""
    with pytest.raises(GeoError, match=r"a\.mmdb: expected a MaxMind DB file \(\.mmdb\), got no such file$"):
        GeoDatabase.open([tmp_path / "a.mmdb"])
    with pytest.raises(GeoError, match=r"got something that is no file$"):
        GeoDatabase.open([tmp_path])
    packed = tmp_path / "a.mmdb.gz"
    packed.write_bytes(b"\x1f\x8b\x08" + bytes(99))
    with pytest.raises(GeoError, match=r"got a gzip archive$") as raised:
        GeoDatabase.open([packed])
    assert "gunzip" in str(raised.value.hint)


def test_no_pipe_is_read(tmp_path: Path) -> None:
    """A named pipe that nobody writes to is refused, not waited for."""
    os.mkfifo(tmp_path / "a.mmdb")
    with pytest.raises(GeoError, match=r"got something that is no file$"):
        GeoDatabase.open([tmp_path / "a.mmdb"])


def test_records_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading is given up once it has taken longer than any real database takes."""
    monkeypatch.setattr(reading, "MAX_SECONDS", -1.0)
    with pytest.raises(GeoError, match=r"a\.mmdb: expected a database that is read in"):
        GeoDatabase.open([mmdb.write(tmp_path / "a.mmdb", NETWORKS)])


def test_a_file_that_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """A database replaced while it is read is an error, and what was read is not cached for either."""
    path = mmdb.write(tmp_path / "a.mmdb", NETWORKS)
    read = reading.read

    def read_while_updated(path: Path) -> reading.Contents:
        contents = read(path)
        mmdb.write(path, {"10.0.0.0/8": GB})
        return contents

    monkeypatch.setattr(reading, "read", read_while_updated)
    with pytest.raises(GeoError, match=r"got one that changed while it was read$"):
        GeoDatabase.open([path])
    assert not cache.exists()


def test_every_truncation_and_random_damage(tmp_path: Path) -> None:
    """Cut short anywhere or with bytes changed at random, a file is an error or a database, never a crash."""
    content = mmdb.write(tmp_path / "good.mmdb", NETWORKS, ip_version=6).read_bytes()
    path = tmp_path / "a.mmdb"
    for size in range(0, len(content), 7):
        path.write_bytes(content[:size])
        with pytest.raises(GeoError):
            GeoDatabase.open([path])
    chance = random.Random(1)
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 8)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            database = GeoDatabase.open([path])
        except GeoError:
            continue
        assert len(locate(database, *EDGES)) == len(EDGES)
