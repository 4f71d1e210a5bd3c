"""Every envelope and document round the lines of every format: what is read is what the plain lines give."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from runs import KNOWN, run_all
from scanners import FORMATS, native_or_skip
from wrapping import ENVELOPES, MOMENT, Where, is_object, wrapped
from wrapping_documents import DOCUMENTS

from analyzer.native import SCANNER
from analyzer.parsing.batches import batches
from analyzer.parsing.detect import by_detail
from analyzer.parsing.envelopes import load_envelopes
from analyzer.parsing.layers import Layers
from analyzer.parsing.origin import Origin
from analyzer.parsing.scanner import new_scanner
from analyzer.parsing.schema import SCHEMA, TIME, outputs
from analyzer.sources import Source, open_source

if TYPE_CHECKING:
    from pathlib import Path

    from runs import Ran
    from wrapping import Envelope
    from wrapping_documents import Document

    from analyzer.parsing.detect import Shape

#: Lines that a format reads.
LINES = {
    name: [sample["line"] for sample in format_.samples if "expect" in sample] for name, format_ in FORMATS.items()
}
#: What says itself where it was written is of no origin that an envelope tells.
LINES["apisix-json"] = [line.replace('"hostname":"apisix-7f9c",', "") for line in LINES["apisix-json"]]
_PADDED = "blanks may stand before the line, and so one that begins with a blank for want of an address loses it"
_ELB = "a line of the classic ELB is that of an ALB without its first word"
#: What cannot be told, and why: by format, then by envelope.
AMBIGUOUS: dict[str, dict[str, str]] = {
    **dict.fromkeys(
        ("combined", "x-forwarded-for-first"), dict.fromkeys(("logcli", "syslog-5424", "syslog-5424-data"), _PADDED)
    ),
    "aws-alb": dict.fromkeys(("aws-logs-tail", "cri", "grafana", "kubectl-timestamps", "stern", "stern ansi"), _ELB),
}
#: What runtimes write, in what collectors make of it: (outer, inner).
NESTED = [
    *((outer, inner) for outer in ("fluent-bit", "vector", "gcp-logging", "logcli-jsonl", "aws-logs-tail", "filebeat",
                                   "azure-container-log", "victorialogs") for inner in ("cri", "docker")),
    ("kubectl-prefix", "kubectl-timestamps"),
    ("stern", "kubectl-timestamps"),
    ("fluent-bit", "syslog"),
    ("fluent-bit", "syslog-5424"),
    ("vector", "syslog-5424-data"),
    ("syslog-file", "docker"),
    ("journald", "cri"),
    ("docker", "stern ansi"),
]  # fmt: skip


@pytest.fixture(params=["native", "portable"])
def scanner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Either scanner."""
    kind: str = request.param
    if kind == "native":
        native_or_skip(SCANNER)
    monkeypatch.setenv("LOGSCAN_SCANNER", kind)
    return kind


def whole(shape: Shape, path: Path) -> list[pl.DataFrame]:
    """All access-log columns of the lines in a file, out of their document and envelopes, by layout."""
    reader = open_source(Source(str(path)))
    try:
        if shape.document is not None:
            text = b"".join(batch.text for batch in batches(reader.pieces()))
        else:
            text = path.read_bytes()
    finally:
        reader.close()
    inside = Layers(shape.layers)
    inner, stop = inside.unwrap(text, len(text), 0)
    text = bytes(inner[:stop]) + inside.flush()[0]
    found = []
    for layout in by_detail(KNOWN.layouts):
        if shape.layout is None or layout.name != shape.layout.name:
            continue
        scanner = new_scanner(layout, outputs(layout, [column for column in SCHEMA if column in layout.columns]))
        scanner.scan(text, 0, len(text), 0)
        taken = scanner.take()
        text = b"".join(taken.misfits["line"].to_list())
        found.append(taken.rows.drop("offset", strict=False))
    return found


def assert_same_rows(found: Ran, plain: Ran, made: Envelope | Document, at: Where) -> None:
    """The names are right; the rows are the plain ones, of the origin and, if the format has none, of the time told."""
    assert (found.envelope, found.format) == (made.name, plain.format)
    origin = Origin(**{part: getattr(at, part) for part in made.tells.split()})
    assert {key[0] for key in found.streams} == {origin}
    assert (found.log.parsed, found.log.rejected) == (plain.log.parsed, 0)
    for (_, name), expected in plain.streams.items():
        rows = found.streams[origin, name]
        assert rows.height == expected.height
        if "time" not in expected.columns and made.time:
            seconds = rows["time"].dt.truncate("1s")
            first = pl.Series([MOMENT], dtype=TIME).dt.truncate("1s").item()
            assert seconds.is_between(first, first + timedelta(seconds=plain.log.lines)).all()
            rows = rows.drop("time")
        elif made.time:
            untold = expected["time"].is_null()
            assert rows.filter(untold)["time"].null_count() == 0  # of a line without a time it is the envelope's
            rows = rows.with_columns(expected["time"].zip_with(untold, rows["time"]))
        assert_frame_equal(rows, expected, check_exact=True)


@pytest.mark.parametrize("name", FORMATS)
def test_every_envelope_round_every_format(name: str, tmp_path: Path) -> None:
    """Envelope, document and format are told by name, and rows, columns, origin and times are the right ones."""
    native_or_skip(SCANNER)
    lines, at = LINES[name], Where()
    objects = all(map(is_object, lines))
    (tmp_path / "plain").write_bytes("".join(f"{line}\n" for line in lines).encode())
    made: list[tuple[str, Envelope | Document]] = []
    for kind, envelope in ENVELOPES.items():
        if objects or not envelope.parsed:
            made.append((kind, envelope))
            (tmp_path / f"in {kind}").write_bytes(wrapped(kind, lines))
    for kind, document in DOCUMENTS.items():
        if objects or not document.parsed:
            made.append((f"document {kind}", document))
            (tmp_path / f"in document {kind}").write_bytes(document.make(lines, at))
    plain, *found = run_all([tmp_path / "plain", *(tmp_path / f"in {kind}" for kind, _ in made)])
    assert (plain.envelope, plain.format, plain.log.parsed) == ("none", name, len(lines))
    expected = whole(plain.log.shape, tmp_path / "plain")
    wrong = {}
    for (kind, one), ran in zip(made, found, strict=True):
        try:
            assert_same_rows(ran, plain, one, at)
            for columns, others in zip(whole(ran.log.shape, tmp_path / f"in {kind}"), expected, strict=True):
                assert_frame_equal(columns, others, check_exact=True)
        except AssertionError as error:
            wrong[kind] = error
    assert wrong.keys() == AMBIGUOUS.get(name, {}).keys(), wrong


def test_every_rule_is_tried() -> None:
    """There is a wrapper for every envelope of the rules."""
    assert {name.split()[0] for name in ENVELOPES} == {envelope.path.stem for envelope in load_envelopes()}


@pytest.mark.parametrize("name", ["ingress-nginx", "nginx-json", "uvicorn"])
def test_envelopes_within_envelopes(scanner: str, name: str, tmp_path: Path) -> None:
    """Two envelopes that occur together are both told and taken off; the outer one adds its origin."""
    lines, at = LINES[name][:3], Where()
    for number, (outer, inner) in enumerate(NESTED):
        text = wrapped(outer, [ENVELOPES[inner].wrap(line, at) for line in lines])
        (tmp_path / str(number)).write_bytes(text)
    (tmp_path / "plain").write_bytes("".join(f"{line}\n" for line in lines).encode())
    plain, *found = run_all([tmp_path / "plain", *(tmp_path / str(number) for number in range(len(NESTED)))])
    for (outer, inner), ran in zip(NESTED, found, strict=True):
        both = ENVELOPES[outer]._replace(
            name=f"{ENVELOPES[outer].name}+{ENVELOPES[inner].name}",
            tells=" ".join({*ENVELOPES[outer].tells.split(), *ENVELOPES[inner].tells.split()}),
            time=ENVELOPES[outer].time or ENVELOPES[inner].time,
        )
        assert_same_rows(ran, plain, both, at)


def told(kind: str, made: Envelope | Document, name: str) -> bool:
    """Whether the lines of a format can stand in this and be told."""
    return kind not in AMBIGUOUS.get(name, {}) and (not made.parsed or all(map(is_object, LINES[name])))


def test_both_scanners_read_every_envelope(scanner: str, tmp_path: Path) -> None:
    """Each scanner takes the lines of a format of text and of one of JSON out of every envelope and document."""
    made: list[tuple[str, Envelope | Document]] = []
    for name in ("combined", "kong-json"):
        lines = LINES[name][:2]
        (tmp_path / name).write_bytes("".join(f"{line}\n" for line in lines).encode())
        for kind, envelope in ENVELOPES.items():
            if told(kind, envelope, name):
                (tmp_path / f"{len(made)}").write_bytes(wrapped(kind, lines))
                made.append((name, envelope))
        for kind, document in DOCUMENTS.items():
            if told(kind, document, name):
                (tmp_path / f"{len(made)}").write_bytes(document.make(lines, Where()))
                made.append((name, document))
    plain = dict(zip(("combined", "kong-json"), run_all([tmp_path / "combined", tmp_path / "kong-json"]), strict=True))
    found = run_all([tmp_path / str(number) for number in range(len(made))])
    for (name, one), ran in zip(made, found, strict=True):
        assert_same_rows(ran, plain[name], one, Where())
