"""Compressed sources: all of their text, and of broken ones what can be had and where they broke off."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sources.reads import PACK, Read, piped, read, skippable, zstd

from analyzer.errors import SourceError
from analyzer.sources import Source, open_source, reading, streams

if TYPE_CHECKING:
    from pathlib import Path

LINES = b"".join(b"line %d of a log\n" % n for n in range(3000))

each_kind = pytest.mark.parametrize("kind", PACK)
#: Both readers of gzip: the fast one needs a file, the other one reads pipes.
both_ways = pytest.mark.parametrize("piped_in", [False, True])
per_example = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read_stored(stored: bytes, folder: Path, *, piped_in: bool = False) -> Read:
    """Read a source that is stored like this."""
    if piped_in:
        with piped(stored, folder / "pipe") as path:
            return read(path)
    path = folder / "log"
    path.write_bytes(stored)
    return read(path)


def noise(size: int) -> bytes:
    """Lines in which no compressor finds anything to save."""
    text = os.urandom(size // 2).hex().encode()
    return b"\n".join(text[at : at + 100] for at in range(0, len(text), 100))


def byte_named(error: str | None) -> int:
    """The stored byte that an error names."""
    assert error is not None
    found = re.search(r"(?:at|after|before) byte ([\d,]+)", error)
    assert found, error
    return int(found[1].replace(",", ""))


@each_kind
def test_told_by_the_first_bytes(kind: str, tmp_path: Path) -> None:
    """Neither does a name make a file compressed nor its absence a plain one; bytes are counted as they are stored."""
    plain, packed = tmp_path / "plain.gz", tmp_path / "packed.log"
    plain.write_bytes(LINES)
    packed.write_bytes(PACK[kind](LINES))
    assert read(plain).text == read(packed).text == LINES
    assert read(plain).bytes_read == len(LINES)
    assert read(packed).bytes_read == packed.stat().st_size


@each_kind
@both_ways
@per_example
@given(data=st.data())
def test_any_members(kind: str, piped_in: bool, data: st.DataObject, tmp_path: Path) -> None:  # noqa: FBT001
    """Members of any size, some of them empty, with zeros between them, are one text; lines go on over the borders."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(LINES)), max_size=12)))
    members = [LINES[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(LINES)], strict=True)]
    zeros = data.draw(st.lists(st.sampled_from([0, 0, 0, 1, 4, 511, 9000]), min_size=len(members)))
    stored = b"".join(PACK[kind](member) + bytes(zeros[n]) for n, member in enumerate(members))
    found = read_stored(stored, tmp_path, piped_in=piped_in)
    assert (found.text, found.error, found.bytes_read) == (LINES, None, len(stored))


@each_kind
@both_ways
def test_nothing_inside(kind: str, piped_in: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """A source that holds nothing is read, and its bytes count."""
    stored = PACK[kind](b"") * 3 + bytes(1000)
    found = read_stored(stored, tmp_path, piped_in=piped_in)
    assert (found.head, found.text, found.error, found.bytes_read) == (b"", b"", None, len(stored))


@each_kind
@both_ways
def test_many_small_members(kind: str, piped_in: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """A source of a member for each line is read."""
    lines = LINES.splitlines(keepends=True)[:300]
    stored = b"".join(map(PACK[kind], lines))
    assert read_stored(stored, tmp_path, piped_in=piped_in).text == b"".join(lines)


@each_kind
@both_ways
@pytest.mark.parametrize("garbage", [b"garbage", b"x", b"\x1f", b"\0\0x", b"\x1f\x8c\x08", LINES, b"\x28\xb5\x2f"])
def test_garbage_behind_a_member(kind: str, piped_in: bool, garbage: bytes, tmp_path: Path) -> None:  # noqa: FBT001
    """What is no member behind a member is said, and where it begins, after all text before it was given out."""
    member = PACK[kind](LINES)
    found = read_stored(member + garbage, tmp_path, piped_in=piped_in)
    assert found.text == LINES
    assert f"expected another {kind} " in (found.error or "")
    assert byte_named(found.error) == len(member) + len(garbage) - len(garbage.lstrip(b"\0"))


@each_kind
@both_ways
@per_example
@given(data=st.data())
def test_cut_off(kind: str, piped_in: bool, data: st.DataObject, tmp_path: Path) -> None:  # noqa: FBT001
    """A source that ends too soon gives the text up to there, and says where it ends."""
    whole = PACK[kind](LINES)
    kept = data.draw(
        st.one_of(st.integers(6, 40), st.integers(6, len(whole) - 1), st.integers(1, 20).map(len(whole).__sub__))
    )
    found = read_stored(PACK[kind](b"before\n") + whole[:kept], tmp_path, piped_in=piped_in)
    assert (b"before\n" + LINES).startswith(found.text)
    assert "ends too soon" in (found.error or "")
    assert byte_named(found.error) == found.bytes_read == len(PACK[kind](b"before\n")) + kept
    if kind == "gzip":
        assert found.text == b"before\n" + zlib.decompressobj(wbits=31).decompress(whole[:kept])


def test_cut_off_far_behind(tmp_path: Path) -> None:
    """What the fast reader of gzip had given out is not given out again when it fails, and all of the rest is."""
    content = LINES * 100
    whole = PACK["gzip"](content)
    found = read_stored(whole[:-9], tmp_path)
    assert found.text == zlib.decompressobj(wbits=31).decompress(whole[:-9])
    assert found.bytes_read == len(whole) - 9


@each_kind
@both_ways
@per_example
@given(data=st.data())
def test_a_byte_changed(kind: str, piped_in: bool, data: st.DataObject, tmp_path: Path) -> None:  # noqa: FBT001
    """Whatever byte is changed: text that was there, or an error. Never another text without an error."""
    content = LINES[: data.draw(st.integers(0, 5000))]
    stored = bytearray(PACK[kind](content))
    at = data.draw(st.integers(6, len(stored) - 1))
    stored[at] ^= data.draw(st.integers(1, 255))
    assume(stored[:6] == PACK[kind](content)[:6])
    found = read_stored(bytes(stored), tmp_path, piped_in=piped_in)
    assert found.error is not None or found.text == content
    assert found.error is None or byte_named(found.error) <= len(stored)


@both_ways
@per_example
@given(data=st.data())
def test_gzip_header(piped_in: bool, data: st.DataObject, tmp_path: Path) -> None:  # noqa: FBT001
    """All optional fields of a gzip header are passed over, wherever they are cut apart (RFC 1952, section 2.3)."""
    packed, stored = PACK["gzip"](LINES[:90]), b""
    sizes = st.one_of(st.integers(0, 30), st.integers(0, 60_000))
    members = data.draw(st.lists(st.tuples(st.integers(0, 15).map(lambda flags: 2 * flags), sizes), max_size=20))
    for flags, size in members:
        header = packed[:3] + bytes([flags]) + packed[4:10]
        header += (size.to_bytes(2, "little") + bytes(size)) if flags & 4 else b""
        header += b"".join(b"c" * size + b"\0" for flag in (8, 16) if flags & flag)
        header += (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little") if flags & 2 else b""
        stored += header + packed[10:]
    found = read_stored(packed + stored, tmp_path, piped_in=piped_in)
    assert (found.text, found.error) == (LINES[:90] * (1 + len(members)), None)


@both_ways
@pytest.mark.parametrize("comment", [600_000, 2_000_000])
def test_gzip_header_without_an_end(comment: int, piped_in: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """A header is read up to 1 MiB."""
    packed = PACK["gzip"](LINES)
    stored = packed + packed[:3] + b"\x10" + packed[4:10] + b"c" * comment + b"\0" + packed[10:]
    found = read_stored(stored, tmp_path, piped_in=piped_in)
    assert found.text == LINES * (2 if comment < 1 << 20 else 1)
    assert comment < 1 << 20 or "its header is longer than 1 MiB" in (found.error or "")


@both_ways
@pytest.mark.parametrize("at", [-8, -4])
def test_gzip_checksum(at: int, piped_in: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """A text that has not the checksum or the length that gzip noted is said to be damaged."""
    damaged = bytearray(PACK["gzip"](LINES))
    damaged[at] ^= 1
    found = read_stored(bytes(damaged), tmp_path, piped_in=piped_in)
    assert LINES.startswith(found.text)
    assert "the gzip stream is damaged after " in (found.error or "")
    assert byte_named(found.error) == len(damaged)


@both_ways
@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_damage_in_the_middle(kind: str, piped_in: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """Nearly all text before a damage is given, only text that was there, and the place named is shortly behind it."""
    content = noise(1_500_000)
    packed = bytearray(PACK[kind](content))
    middle = len(packed) // 2
    packed[middle : middle + 64] = bytes(64)
    found = read_stored(bytes(packed), tmp_path, piped_in=piped_in)
    whole = content.rfind(b"\n", 0, int(len(content) * 0.4)) + 1
    assert content[:whole] == found.text[:whole]
    assert len(content) * 0.4 < len(found.text) < len(content)
    assert f"the {kind} stream is damaged after {len(found.text):,} bytes of its text" in (found.error or "")
    assert middle < byte_named(found.error)
    if kind == "zstd":  # gzip finds out when no code fits any more, or by the checksum
        assert byte_named(found.error) < middle + (192 << 10)


@pytest.mark.parametrize("where", ["before", "between", "behind"])
@pytest.mark.parametrize("number", [0, 15])
def test_zstd_frames_that_are_skipped(where: str, number: int, tmp_path: Path) -> None:
    """Frames that are no text, of any of the 16 kinds, are passed over."""
    frame, skipped = PACK["zstd"](LINES), skippable(b"not a line\n" * 9000, number)
    stored = {
        "before": skipped + frame + frame,
        "between": frame + skipped + frame,
        "behind": frame + frame + skipped + skippable(b""),
    }[where]
    found = read_stored(stored, tmp_path)
    assert (found.text, found.error, found.bytes_read) == (LINES * 2, None, len(stored))


def zstd_of_window(log: int) -> bytes:
    """A frame that asks for a window of so many bits."""
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: log})
    return packer.compress(LINES) + packer.flush()


def test_zstd_window(tmp_path: Path) -> None:
    """A frame may ask for 128 MiB to look back on; one that asks for more is refused in words."""
    assert read_stored(zstd_of_window(27), tmp_path).text == LINES
    found = read_stored(PACK["zstd"](b"first\n") + zstd_of_window(28), tmp_path)
    assert found.text == b"first\n"
    begin = len(PACK["zstd"](b"first\n"))
    assert found.error == f"the zstd frame at byte {begin} needs over 128 MiB of memory to decompress"


def test_zstd_without_its_dictionary(tmp_path: Path) -> None:
    """A frame that was made with a dictionary is an error in words."""
    dictionary = zstd.train_dict([b"line %d of a log\n" % n * 10 for n in range(1000)], 1000)
    found = read_stored(zstd.compress(LINES, zstd_dict=dictionary), tmp_path)
    assert found.text == b""
    assert "Dictionary mismatch" in (found.error or "")


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_memory_is_bounded(kind: str, tmp_path: Path) -> None:
    """What a small file holds may be larger than memory."""
    path = tmp_path / "log"
    path.write_bytes(PACK[kind](b"x" * 99 + b"\n") * 2000 + PACK[kind](bytes(1 << 20) + b"\n" * (7 << 20)) * 60)
    code = """
import resource, sys
from analyzer.sources import Source, open_source
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
reader = open_source(Source(sys.argv[1]))
size = sum(block.stop for piece in reader.pieces() for block in piece.blocks())
print(size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    ran = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=True, text=True)
    size, more = map(int, ran.stdout.split())
    assert size == 2000 * 100 + 60 * (8 << 20)
    assert more < 80 << 10


@pytest.mark.parametrize("kind", [None, "gzip", "zstd"])
def test_libraries_are_loaded_where_they_are_used(kind: str | None, tmp_path: Path) -> None:
    """Reading plain logs costs no import of a library that decompresses, nor one kind that of another."""
    path = tmp_path / "log"
    path.write_bytes(PACK[kind](LINES) if kind else LINES)
    code = """
import sys
from analyzer.sources import Source, open_source
for piece in open_source(Source(sys.argv[1])).pieces():
    pass
print(*sorted({"isal", "backports.zstd", "compression.zstd"} & set(sys.modules)))
"""
    ran = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=True, text=True)
    assert ran.stdout.split() == {None: [], "gzip": ["isal"], "zstd": [zstd.__name__]}[kind]


def test_a_python_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the library is missing, the error says which, and no file stays open."""
    monkeypatch.setitem(sys.modules, "lzma", None)
    path = tmp_path / "log"
    path.write_bytes(PACK["xz"](LINES))
    with pytest.raises(SourceError, match="expected a Python that reads xz, got one without lzma"):
        open_source(Source(str(path)))


@each_kind
def test_what_is_appended_while_it_is_read(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a compressed file that grows while it is read, everything counts that is there when its end is reached."""
    monkeypatch.setattr(reading, "MAX_LINE", 4 << 10)
    monkeypatch.setattr(streams, "PIECE", 16 << 10)
    path = tmp_path / "log"
    content = noise(3_000_000)
    path.write_bytes(PACK[kind](content))
    reader = open_source(Source(str(path)))
    found = b""
    for piece in reader.pieces():
        found += b"".join(bytes(block.text[: block.stop]) for block in piece.blocks())
        if piece.offset == 0:
            assert reader.bytes_read < path.stat().st_size - 10_000
            with path.open("ab") as file:
                file.write(PACK[kind](LINES))
    assert found == content + LINES
    assert (reader.error, reader.bytes_read) == (None, path.stat().st_size)
    reader.close()
