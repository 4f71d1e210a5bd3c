"""Files of frames, one Arrow IPC file behind the other, and the manifest that says what stands where in which."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

import orjson
import polars as pl

from analyzer.errors import StateError
from analyzer.state.store import MANIFEST, file_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analyzer.state.store import Store

#: Of what tables hold and mean: a higher one wherever rows of an older state could not be added to today's.
VERSION = 4


def packed(frame: pl.DataFrame) -> bytes:
    """A frame as bytes."""
    out = io.BytesIO()
    frame.write_ipc(out, compression="lz4")
    return out.getvalue()


def unpacked(content: bytes | memoryview) -> pl.DataFrame:
    """The frame again."""
    return pl.read_ipc(io.BytesIO(content))


def write_frames(store: Store, kind: str, generation: int, frames: Mapping[str, pl.DataFrame]) -> dict[str, Any]:
    """Write frames into a file; return what the manifest says of it."""
    out = io.BytesIO()
    places = {}
    for name, frame in frames.items():
        begin = out.tell()
        out.write(packed(frame))
        places[name] = [begin, out.tell() - begin]
    content = out.getvalue()
    file = file_name(kind, generation)
    store.write(file, content)
    return {
        "file": file,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "frames": places,
        "rows": sum(frame.height for frame in frames.values()),
    }


def read_frames(store: Store, entry: Mapping[str, Any]) -> dict[str, pl.DataFrame]:
    """Read a file back.

    Raises
    ------
    StateError
        Where it is not what was written.
    """
    name, expected = entry["file"], entry["size"]
    content = store.read(name)
    if content is None:
        raise _damaged(store, name, "the manifest names it, found none")
    if len(content) != expected:
        raise _damaged(store, name, f"expected {expected:,} bytes, got {len(content):,}")
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise _damaged(store, name, "its bytes are not those that were written")
    view = memoryview(content)
    try:
        return {frame: unpacked(view[begin : begin + size]) for frame, (begin, size) in entry["frames"].items()}
    except pl.exceptions.PolarsError as error:
        raise _damaged(store, name, f"this Polars cannot read it: {error}") from None


def write_manifest(store: Store, manifest: Mapping[str, Any], before: bytes | None) -> bytes:
    """Replace the manifest; from then on what it says counts."""
    body = orjson.dumps(manifest)
    content = orjson.dumps(
        {"logscan_state": VERSION, "sha256": hashlib.sha256(body).hexdigest(), "manifest": orjson.Fragment(body)}
    )
    store.replace(content, before)
    return content


def read_manifest(store: Store) -> tuple[dict[str, Any] | None, bytes | None]:
    """The manifest, and its bytes; None where there is none.

    Raises
    ------
    StateError
        Where it cannot be read, or was written by another version.
    """
    content = store.read(MANIFEST)
    if content is None:
        return None, None
    try:
        outer = orjson.loads(content)
        version, manifest = outer["logscan_state"], outer["manifest"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise _damaged(store, MANIFEST, "expected what logscan writes, got something else") from None
    if version != VERSION:
        raise StateError(
            f"{store.url}: expected a state of version {VERSION}, got {version!r}",
            hint="read it with the logscan that wrote it, or begin another with --state",
        )
    if hashlib.sha256(orjson.dumps(manifest)).hexdigest() != outer.get("sha256"):
        raise _damaged(store, MANIFEST, "its bytes are not those that were written")
    return manifest, content


def _damaged(store: Store, name: str, what: str) -> StateError:
    return StateError(
        f"{store.url}/{name}: is damaged: {what}",
        hint="put the state back from a copy, or remove it: the next run then reads all logs anew",
    )
