"""Envelopes: every shipped sample, with both unwrappers, and what keeps one envelope from another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from scanners import native_or_skip

from analyzer.native import SCANNER
from analyzer.parsing import portable_unwrap
from analyzer.parsing.envelopes import Envelope, load_envelopes
from analyzer.parsing.scanner import ROOM, NativeUnwrapper

if TYPE_CHECKING:
    from collections.abc import Callable

ENVELOPES = load_envelopes()
SAMPLES = [(envelope, sample) for envelope in ENVELOPES for sample in envelope.samples]
samples = pytest.mark.parametrize(
    ("envelope", "sample"),
    SAMPLES,
    ids=[f"{envelope.path.stem}-{sample.get('about', 'plain')}" for envelope, sample in SAMPLES],
)
_KEYS = ("node", "pod", "namespace", "container", "labels", "file")


@pytest.fixture(params=["portable", "native"])
def new_unwrapper(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Either unwrapper."""
    if request.param == "portable":
        return portable_unwrap.Unwrapper
    native_or_skip(SCANNER)
    return NativeUnwrapper


def inside(new: Callable[..., Any], envelope: Envelope, lines: list[str]) -> list[dict[str, Any]]:
    """The lines in these, each with its origin and, where there is one, its time."""
    unwrapper = new(envelope.layout, envelope.join)
    text = "".join(f"{line}\n" for line in lines).encode()
    into = bytearray(len(text) + ROOM)
    inner = bytes(into[: unwrapper.unwrap(text, 0, len(text), 0, into)])
    inner += bytes(into[: unwrapper.flush(into)])
    taken = unwrapper.take()
    found = []
    for message, origin, time in zip(
        inner.decode().splitlines(), taken.lines["origin"], taken.lines["time"], strict=True
    ):
        found.append({"message": message} | taken.origins[origin] | ({"time": time} if time else {}))
    return found


@samples
def test_a_sample_reads_as_its_rule_says(
    new_unwrapper: Callable[..., Any], envelope: Envelope, sample: dict[str, Any]
) -> None:
    """Each inner line is the one expected, with the origin expected and no other, and the time where one is given."""
    found = inside(new_unwrapper, envelope, sample["lines"])
    assert len(found) == len(sample["expect"])
    for got, expected in zip(found, sample["expect"], strict=True):
        keys = {"message", *_KEYS, *(["time"] if "time" in expected else [])}
        assert {key: value for key, value in got.items() if key in keys} == expected


def test_every_rule_carries_samples() -> None:
    """Every envelope file has a sample, and the files of one name differ in what they read."""
    assert all(envelope.samples for envelope in ENVELOPES)
    layouts = [(envelope.name, envelope.layout) for envelope in ENVELOPES]
    assert len(set(layouts)) == len(layouts)
