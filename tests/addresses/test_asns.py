"""Classes of autonomous systems: the shipped files, a user's own, and what cannot be meant."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from analyzer.addresses.asns import CLASSES, load_asns
from analyzer.errors import RuleError
from analyzer.rules import load_toml, rule_files

if TYPE_CHECKING:
    from pathlib import Path

RULE = """name = "Ours"
class = "{class_}"
source = "https://example.org/"
date = 2026-11-21
asns = '''
{line}
'''
"""


def own(folder: Path, class_: str, line: str) -> Path:
    """Write a rule folder of a user."""
    (folder / "asns").mkdir()
    (folder / "asns" / "own.toml").write_text(RULE.format(class_=class_, line=line))
    return folder


def test_known_networks_have_their_class() -> None:
    """Cloudflare, Fastly and Akamai are CDNs, Hetzner and Amazon data centres, Deutsche Telekom is neither."""
    classes = load_asns()
    assert [classes.get(asn) for asn in (13335, 54113, 20940, 24940, 16509, 3320)] == [
        "cdn", "cdn", "cdn", "hosting", "hosting", None,
    ]  # fmt: skip
    assert set(classes.values()) == set(CLASSES)


@pytest.mark.parametrize("path", rule_files("asns"), ids=lambda path: path.stem)
def test_shipped_files_say_where_they_are_from(path: Path) -> None:
    """Each file has a source and a date, and names no network twice."""
    rule = load_toml(path)
    assert rule["source"].startswith("https://")
    assert isinstance(rule["date"], dt.date)
    numbers = [line.split()[0] for line in rule["asns"].splitlines() if line]
    assert len(numbers) == len(set(numbers))


def test_a_users_file_beats_the_shipped_ones(tmp_path: Path) -> None:
    """What a user says of a network counts, and adds to what is known."""
    classes = load_asns([own(tmp_path, "hosting", "13335 Cloudflare\n64500 Ours")])
    assert (classes[13335], classes[64500], classes[54113]) == ("hosting", "hosting", "cdn")


@pytest.mark.parametrize(
    ("class_", "line", "message"),
    [
        ("home", "64500 Ours", "expected `class` to be cdn or hosting, got 'home'"),
        ("cdn", "AS64500 Ours", "expected a line such as `13335 Cloudflare`, got 'AS64500 Ours'"),
        ("cdn", "4294967296 Ours", "expected a line such as `13335 Cloudflare`"),
        ("cdn", "0 Ours", "expected a line such as `13335 Cloudflare`"),
    ],
)
def test_what_cannot_be_meant_is_an_error(class_: str, line: str, message: str, tmp_path: Path) -> None:
    """The error names the file and what was expected."""
    with pytest.raises(RuleError, match=rf"own\.toml: {message}"):
        load_asns([own(tmp_path, class_, line)])
