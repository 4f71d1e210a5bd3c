"""Layers: lines out of several envelopes, and where each of them stood in the source."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from scanners import FORMATS, native_or_skip
from wrapping import Where as At
from wrapping import cri, docker, fluent_bit, kubectl_prefix, timestamps, wrapped

from analyzer.native import SCANNER
from analyzer.parsing.envelopes import load_envelopes
from analyzer.parsing.layers import Layer, Layers, is_open, joins, name_of
from analyzer.parsing.origin import Origin

ENVELOPES = {envelope.path.stem: envelope for envelope in load_envelopes()}
LINE = str(FORMATS["combined"].samples[0]["line"])


@pytest.fixture(params=["native", "portable"], autouse=True)
def _scanner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "native":
        native_or_skip(SCANNER)
    monkeypatch.setenv("LOGSCAN_SCANNER", request.param)


def layers(*names: str) -> list[Layer]:
    """Envelopes by the names of their files, and colours."""
    return ["ansi" if name == "ansi" else ENVELOPES[name] for name in names]


def text_of(lines: list[str]) -> bytes:
    """The lines, each with its end."""
    return "".join(f"{line}\n" for line in lines).encode()


def pull(inside: Layers, *texts: bytes) -> bytes:
    """All lines inside texts that follow one another."""
    pulled, offset = b"", 0
    for text in texts:
        inner, stop = inside.unwrap(text, len(text), offset)
        pulled += inner[:stop]
        offset += len(text)
    return pulled + inside.flush()[0]


def test_each_inner_line_knows_its_lines() -> None:
    """Parts that two layers joined are told by the source's lines, in order, also when a line stands between them."""
    inner = [cri("c", At()), "2026-11-21T07:08:11Z stderr F other", "2026-11-21T07:08:12Z stdout F d"]
    inner[0] = inner[0].replace(" F ", " P ")
    lines = [fluent_bit(line, At(pod=f"p{number}")) for number, line in enumerate(inner)]
    lines[1:1] = ["", "no envelope"]
    starts = [len(text_of(lines[:number])) for number in range(len(lines))]
    inside = Layers(layers("fluent-bit", "cri"))
    assert pull(inside, text_of(lines)) == b"\nno envelope\nother\ncd\n"
    known = inside.take()
    assert known.lines["number"].to_list() == [1, 2, 3, 0]
    assert known.lines["start"].to_list() == [starts[1], starts[2], starts[3], starts[0]]
    assert known.parts.rows() == [
        (0, starts[1]), (1, starts[2]), (2, starts[3]), (3, starts[0]), (3, starts[4]),
    ]  # fmt: skip
    assert [known.origins[number].pod for number in known.lines["origin"]] == [None, None, "p1", "p0"]
    assert (known.source_lines, known.fitted) == (5, 3)


def test_the_innermost_time_and_origin_win() -> None:
    """What an inner envelope says goes before what the one round it says, which fills in the rest."""
    line = kubectl_prefix(timestamps(LINE, At()), At(pod="inner", container="c"))
    inside = Layers(layers("logcli-jsonl", "kubectl-prefix", "kubectl-timestamps"))
    outer = wrapped("logcli-jsonl", [line.replace("07:08:09.123", "05:00:00.5")], At(pod="outer", container="x"))
    assert pull(inside, outer) == text_of([LINE])
    known = inside.take()
    assert [known.origins[number] for number in known.lines["origin"]] == [Origin("worker-1", "inner", "shop", "c")]
    assert known.lines["time"].to_list() == [datetime(2026, 11, 21, 5, 0, 0, 545_000, UTC)]


def test_an_origin_stands_once() -> None:
    """Labels that differ in other things than those that make an origin are one origin."""
    lines = [f'2026-11-21T07:08:09Z {{pod="a", trace="{number}"}} {LINE}' for number in range(5)]
    lines[2] = lines[2].replace('"a"', '"b"')
    inside = Layers(layers("logcli"))
    assert pull(inside, text_of(lines)) == text_of([LINE] * 5)
    known = inside.take()
    assert [known.origins[number].pod for number in known.lines["origin"]] == ["a", "a", "b", "a", "a"]
    assert len(known.origins) == len(set(known.origins))


def test_blocks_follow_one_another() -> None:
    """What waits at the end of a block goes on in the next; starts are counted through."""
    first, second = (cri(part, At()) for part in "ab")
    texts = [text_of([first.replace(" F ", " P ")]), text_of([second])]
    inside = Layers(layers("cri"))
    assert pull(inside, *texts) == b"ab\n"
    assert inside.take().parts["start"].to_list() == [0, len(texts[0])]
    assert pull(inside, text_of([first])) == b"a\n"
    assert inside.take().lines["number"].to_list() == [0]


def test_colours_are_taken_off() -> None:
    """Colour sequences go and nothing else; lines keep their places, the last one without end too."""
    text = b"\x1b[32mINFO\x1b[0m: x\n\n\x1b[1;31ma\x1b[m\x1b[2K b\x1b\n\x1b[0mlast"
    inside = Layers(layers("ansi"))
    assert pull(inside, text) == b"INFO: x\n\na\x1b[2K b\x1b\nlast\n"
    known = inside.take()
    assert known.lines["start"].to_list() == [0, text.index(b"\n") + 1, text.index(b"\n") + 2, text.rindex(b"\n") + 1]
    assert (known.source_lines, known.fitted) == (4, 4)
    assert pull(inside, b"") == b""
    assert inside.take().lines.height == 0


@pytest.mark.parametrize("names", [("cri",), ("fluent-bit", "cri"), ("ansi", "cri"), ("kubectl-prefix", "docker")])
def test_what_is_open(names: tuple[str, ...]) -> None:
    """A record of the innermost envelope is open behind all parts but the last, whatever stands round it."""
    if names[-1] == "cri":
        parts = [cri("x", At()).replace(" F ", " P "), cri("y", At())]
    else:
        parts = [docker("x", At()).replace("\\n", ""), docker("y", At())]
    outer = {"fluent-bit": fluent_bit, "kubectl-prefix": kubectl_prefix}.get(names[0])
    lines = [outer(part, At()) for part in parts] if outer else parts
    assert is_open(layers(*names), text_of(lines[:1]))
    assert not is_open(layers(*names), text_of(lines))
    assert is_open(layers(*names), text_of([*lines, lines[0], "", "no envelope"]))
    assert not is_open(layers(*names), b"")
    assert not is_open(layers(names[0])[:0], text_of(lines[:1]))


def test_names() -> None:
    """Layers are called from the outside in."""
    assert name_of([]) == "none"
    assert name_of(layers("fluent-bit", "ansi", "stern-namespaces")) == "fluent-bit+ansi+stern"
    assert not joins(layers("ansi", "fluent-bit"))
    assert joins(layers("ansi", "docker"))


def test_a_layer_is_needed() -> None:
    """Without a layer nothing is known of the lines."""
    with pytest.raises(ValueError, match="expected a layer"):
        Layers([]).take()
