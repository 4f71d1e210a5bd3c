"""``logscan networks``: which networks are known, what an address is and why, and newer lists read from files."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import re
import shlex
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from command import LINE, Result, bash, logscan

if TYPE_CHECKING:
    from pathlib import Path

UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
MINE = 'name = "{title}"\nclass = "lb"\nkind = "cdn"\nsource = "https://example.com"\ndate = {date}\n'
RANGE = '[[range]]\nname = "edge"\ncidrs = "9.9.9.0/24"\n'


def told(result: Result) -> dict[str, Any]:
    """Return the JSON on stdout of a run that went well."""
    assert (result.status, result.stderr) == (0, "")
    found: dict[str, Any] = json.loads(result.stdout)
    assert found["schema"] == "logscan.networks/1"
    return found


def ask(*args: str | Path, cwd: Path) -> dict[str, Any]:
    """Run the command with JSON output."""
    return told(logscan("networks", *args, "--format", "json", cwd=cwd))


def rules(folder: Path, name: str, text: str) -> Path:
    """Write a network file as a user would."""
    (folder / "networks").mkdir(parents=True, exist_ok=True)
    (folder / "networks" / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder


def test_listing(tmp_path: Path) -> None:
    """Each file stands there with title, class, number of ranges, date, age and source; the table says the same."""
    found = {file["name"]: file for file in ask(cwd=tmp_path)["networks"]}
    assert {"azure", "cloudflare", "defaults", "fastly", "gcp", "special-purpose"} <= set(found)
    cloudflare = found["cloudflare"]
    assert cloudflare["names"] == [{"name": "edge", "class": "lb", "kind": "cdn", "ranges": 22}]
    assert (cloudflare["ranges"], cloudflare["role"], cloudflare["shipped"]) == (22, "published", True)
    today = dt.datetime.now(dt.UTC).date()
    assert cloudflare["age_days"] == max((today - dt.date.fromisoformat(cloudflare["date"])).days, 0)
    assert {file["role"] for file in found.values()} == {"published", "registry", "hint"}
    table = logscan("networks", cwd=tmp_path).stdout.decode()
    for file in found.values():
        assert all(text in table for text in (file["name"], file["title"], file["source"], file["date"]))


def test_age(tmp_path: Path) -> None:
    """What is older than a year is said to be, in words; a date to come is of no age."""
    today = dt.datetime.now(dt.UTC).date()
    for name, days in (("old", 366), ("older", 4_000), ("young", 364), ("tomorrow", -1)):
        rules(tmp_path, name, MINE.format(title=name, date=today - dt.timedelta(days)) + RANGE)
    found = {file["name"]: file for file in ask("--rules", tmp_path, cwd=tmp_path)["networks"]}
    assert [found[name]["old"] for name in ("old", "older", "young", "tomorrow")] == [True, True, False, False]
    assert [found[name]["age_days"] for name in ("old", "young", "tomorrow")] in ([366, 364, 0], [367, 365, 0])
    table = " ".join(logscan("networks", "--rules", tmp_path, cwd=tmp_path).stdout.decode().split())
    assert re.search(r"older than 365 days, so look at the source for changes: [^.]*\bold, older\b", table)


def test_files_of_a_user(tmp_path: Path) -> None:
    """A user's files are listed with their paths after the shipped ones, and what they replace is not."""
    rules(tmp_path / "r", "fastly", MINE.format(title="Mine", date="2026-11-21") + RANGE)
    found = ask("--rules", "r", cwd=tmp_path)["networks"]
    assert [file["name"] for file in found].count("fastly") == 1
    assert found[-1]["file"] == "r/networks/fastly.toml"
    assert (found[-1]["replaces"], found[-1]["shipped"]) == (True, False)
    assert "in place of the file of this name" in logscan("networks", "--rules", "r", cwd=tmp_path).stdout.decode()


def test_what_an_address_is(tmp_path: Path) -> None:
    """An address has its class, its rule, who says so, and every other rule that has it, in order."""
    cluster = {"kind": "Node", "metadata": {"name": "w1"}, "spec": {"podCIDR": "10.42.0.0/24"}}
    (tmp_path / "c.json").write_text(json.dumps(cluster))
    options = ["--cluster", "c.json", "--node", "10.0.0.0/8", "--lb", "10.42.0.1"]
    [address] = ask("10.42.0.1", *options, cwd=tmp_path)["addresses"]
    assert address["answers"] == [
        {"range": "10.42.0.1", "class": "lb", "kind": "cluster-lb", "rule": "--lb 10.42.0.1", "step": "command-line"}
    ]
    assert [(rule["step"], rule["range"], rule["kind"]) for rule in address["rules"]] == [
        ("command-line", "10.42.0.1", "cluster-lb"), ("command-line", "10.0.0.0/8", "node"),
        ("cluster", "10.42.0.1", "cni-gateway"), ("cluster", "10.42.0.0/24", "pod"),
        ("registry", "10.0.0.0/8", "rfc1918"), ("hint", "10.42.0.0/16", "pod"),
    ]  # fmt: skip
    assert all(rule["whole"] for rule in address["rules"])


@pytest.mark.parametrize(
    ("asked", "class_", "rule"),
    [
        ("8.8.8.8", "client", "public address"),
        ("::ffff:104.16.0.1", "lb", "networks/cloudflare.toml: edge"),
        ("2a04:4e42::1", "lb", "networks/fastly.toml: edge"),
        ("168.63.129.16/32", "lb", "networks/azure.toml: probe"),
        ("10.42.0.1", "private", "networks/special-purpose.toml: rfc1918, maybe k3s and RKE2 pods"),
        (
            "172.18.0.0/16",
            "private",
            "networks/special-purpose.toml: rfc1918, maybe kind nodes",
        ),
        (
            "192.168.255.1",
            "private",
            "networks/special-purpose.toml: rfc1918, ambiguous: Linode NodeBalancers, Linode nodes or Calico pods",
        ),
    ],
)
def test_shipped_rules(tmp_path: Path, asked: str, class_: str, rule: str) -> None:
    """Addresses of both families and CIDRs of one answer; where defaults collide all of them are named."""
    [address] = ask(asked, cwd=tmp_path)["addresses"]
    [answer] = address["answers"]
    assert (address["asked"], answer["class"], answer["rule"]) == (asked, class_, rule)
    table = " ".join(logscan("networks", asked, cwd=tmp_path).stdout.decode().split())
    assert f"{answer['class']} {answer['kind']} by {rule} (" in table


def test_a_cidr_of_several_answers(tmp_path: Path) -> None:
    """A CIDR is told part by part without a gap; a list without end is cut, and how much is left out is said."""
    [address] = ask("10.1.0.0/24", "--node", "10.1.0.4", cwd=tmp_path)["addresses"]
    assert [(part["range"], part["class"]) for part in address["answers"]] == [
        ("10.1.0.0/30", "private"), ("10.1.0.4", "node"), ("10.1.0.5-10.1.0.255", "private"),
    ]  # fmt: skip
    assert [rule["whole"] for rule in address["rules"]] == [False, True, True]
    lines = "".join(f"9.{number // 128}.{number % 128 * 2}.0/24 " for number in range(3_000))
    folder = rules(tmp_path, "many", MINE.format(title="many", date="2026-11-21") + RANGE.replace("9.9.9.0/24", lines))
    [address] = ask("9.0.0.0/8", "--rules", folder, cwd=tmp_path)["addresses"]
    assert (len(address["answers"]), address["more_answers"]) == (1_000, 5_000)
    assert (len(address["rules"]), address["more_rules"]) == (1_000, 2_000)
    assert "2,980 more rules" in logscan("networks", "9.0.0.0/8", "--rules", folder, cwd=tmp_path).stdout.decode()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["web-1"], 'expected an address or a CIDR such as 10.0.0.0/16, got "web-1"'),
        (["10.0.0.1/8"], "expected an address or a CIDR without host bits such as 10.0.0.0/8"),
        (["a\x1b[31m"], 'expected an address or a CIDR such as 10.0.0.0/16, got "a\\x1b[31m"'),
        (["8.8.8.8", "--node", "x"], "--node: expected a CIDR"),
        (["--node", "10.0.0.0/8"], "--node: expected addresses with it"),
        (["8.8.8.8", "--into", "r"], "--into: expected --update with it"),
        (["--update", "list"], "--update: expected files to read, and --into DIR to write to"),
        (["--update", "--into", "r"], "--update: expected files to read, and --into DIR to write to"),
        (["--update", "list", "--into", "r", "--rules", "x"], "--update: expected no other rules, got --rules"),
        (["--update", "gone", "--into", "r"], "gone: expected a readable file, got: No such file or directory"),
        (["--update", ".", "--into", "r"], ".: expected a readable file, got: Is a directory"),
        (["--update", "list", "--into", "r"], "list: expected --name, --class and --kind"),
        (["--update", "list", "--into", "list", "--name", "x", "--class", "lb", "--kind", "cdn"], "cannot be written"),
        (["--rules", "gone"], "gone: expected a folder that holds "),
        (["--format", "xml"], "xml"),
    ],
)
def test_wrong_usage(tmp_path: Path, args: list[str], message: str) -> None:
    """Each mistake is one line that names it, with status 2, and nothing is written."""
    (tmp_path / "list").write_text("9.9.9.0/24\n")
    result = logscan("networks", *args, cwd=tmp_path)
    assert (result.status, result.stdout) == (2, b"")
    assert message in result.stderr
    assert not UNSAFE.search(result.stderr)
    assert os.listdir(tmp_path) == ["list"]


def test_a_file_that_is_asked_for_as_an_address(tmp_path: Path) -> None:
    """Whoever forgets --update is told of it."""
    (tmp_path / "ip-ranges.json").write_text("{}")
    assert "hint: logscan networks --update reads files" in logscan("networks", "ip-ranges.json", cwd=tmp_path).stderr


def test_update(tmp_path: Path) -> None:
    """A newer list is a rule file that the named option uses; the table shows what to type."""
    new = {
        "createDate": "2026-11-19-18-07-13",
        "prefixes": [{"ip_prefix": "3.172.0.0/18", "region": "GLOBAL", "service": "CLOUDFRONT_ORIGIN_FACING"}],
        "ipv6_prefixes": [],
    }
    (tmp_path / "ip-ranges.json").write_text(json.dumps(new))
    result = logscan("networks", "--update", "ip-ranges.json", "--into", "my rules", cwd=tmp_path)
    assert (result.status, result.stderr) == (0, "")
    [option] = [line for line in result.stdout.decode().splitlines() if "--rules" in line]
    args = shlex.split(option.partition("use it with")[2])
    assert args == ["--rules", "my rules"]
    assert sorted(path.name for path in (tmp_path / "my rules").rglob("*")) == ["aws.toml", "networks"]
    [address] = ask("3.172.0.9", *args, cwd=tmp_path)["addresses"]
    assert address["answers"][0]["rule"] == "my rules/networks/aws.toml: cloudfront-origin-facing"
    assert "2026-11-19" in logscan("networks", *args, cwd=tmp_path).stdout.decode()
    (tmp_path / "access.log").write_bytes(LINE.replace(b"81.2.69.142", b"3.172.0.9"))
    report = logscan("analyze", "access.log", *args, "--format", "json", cwd=tmp_path).report
    assert report["preservation"]["addresses"][0]["kind"] == "cdn"


def test_update_again(tmp_path: Path) -> None:
    """A file of the same name is replaced, and said to be; lists of several publishers are files of their own."""
    (tmp_path / "office").write_text("9.9.9.0/24\n")
    (tmp_path / "google").write_text(json.dumps({"prefixes": [{"ipv4Prefix": "8.8.8.0/24"}]}))
    said = ["--name", "office", "--class", "lb", "--kind", "trusted-proxy", "--into", "r"]
    [written] = ask("--update", "office", *said, cwd=tmp_path)["written"]
    assert (written["file"], written["replaced"], written["ranges"]) == ("r/networks/office.toml", False, 1)
    os.utime(tmp_path / "office", (0, 1_700_000_000))
    [again] = ask("--update", "office", *said, cwd=tmp_path)["written"]
    assert (again["replaced"], again["date"], again["files"]) == (True, "2023-11-14", ["office"])
    result = ask("--update", "google", "--into", "r", cwd=tmp_path)
    assert (result["written"][0]["name"], result["rules_folder"]) == ("google", "r")
    table = tomllib.loads((tmp_path / "r/networks/google.toml").read_text())
    assert (table["registry"], table["class"], table["kind"]) == (True, "client", "public")


def test_update_from_standard_input(tmp_path: Path) -> None:
    """``-`` is standard input."""
    args = ["networks", "--update", "-", "--into", "r", "--name", "x", "--class", "node", "--kind", "node"]
    result = logscan(*args, cwd=tmp_path, stdin=b"9.9.9.9\n")
    assert result.status == 0
    assert 'source = "standard input"' in (tmp_path / "r/networks/x.toml").read_text()


def test_update_is_whole_or_not_at_all(tmp_path: Path) -> None:
    """Where one of the lists is broken none is written, and what was there stays as it was."""
    (tmp_path / "good").write_text(json.dumps({"prefixes": [{"ipv4Prefix": "8.8.8.0/24"}]}))
    (tmp_path / "bad").write_text('{"prefixes": [{"ipv4Prefix": "8.8.8.0/33"}]}')
    rules(tmp_path / "r", "google", "old")
    result = logscan("networks", "--update", "good", "bad", "--into", "r", cwd=tmp_path)
    assert result.status == 2
    assert result.stderr.startswith('logscan: bad: expected a CIDR such as 10.0.0.0/16, got "8.8.8.0/33"')
    assert (tmp_path / "r/networks/google.toml").read_text() == "old"
    assert os.listdir(tmp_path / "r/networks") == ["google.toml"]
    (tmp_path / "r/networks/google.toml").unlink()
    (tmp_path / "r/networks/google.toml").mkdir()
    result = logscan("networks", "--update", "good", "--into", "r", cwd=tmp_path)
    assert result.status == 2
    assert "google.toml: cannot be written: Is a directory" in result.stderr
    assert os.listdir(tmp_path / "r/networks") == ["google.toml"]


def test_hostile_update(tmp_path: Path) -> None:
    """Names of a list and of a file drive no terminal and break no rule file."""
    evil = 'x"]\n[[range]]\x1b[31m\u202e'
    entry = {"ipv4Prefix": "8.8.8.0/24", "scope": evil}
    name = "a\x1b[31m'; touch owned; '"
    (tmp_path / name).write_text(json.dumps({"prefixes": [entry]}))
    result = logscan("networks", "--update", name, "--into", name + "d", cwd=tmp_path)
    assert result.status == 0
    assert not UNSAFE.search(result.stdout.decode() + result.stderr)
    table = tomllib.loads((tmp_path / (name + "d") / "networks/google-cloud.toml").read_text())
    assert [each["name"] for each in table["range"]] == [evil]
    for args in (["8.8.8.8"], []):
        for format_ in ("table", "json"):
            shown = logscan("networks", *args, "--rules", name + "d", "--format", format_, cwd=tmp_path)
            assert shown.status == 0
            assert not UNSAFE.search(shown.stdout.decode() + shown.stderr)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 100_000,
        b"[" * 1_000_000,
        b'{"prefixes":' * 100_000,
        gzip.compress(b"9.9.9.9\n"),
        b"\xff" * 1_000_000,
    ],
    ids=["empty", "zeros", "brackets", "objects", "gzip", "bytes"],
)
def test_hostile_files(tmp_path: Path, content: bytes) -> None:
    """A file that is no list is refused with one line."""
    (tmp_path / "list").write_bytes(content)
    said = ["--name", "x", "--class", "lb", "--kind", "cdn"]
    for more in ([], said):
        result = logscan("networks", "--update", "list", "--into", "r", *more, cwd=tmp_path)
        assert result.status == 2
        assert result.stderr.startswith("logscan: list")
        assert len(result.stderr) < 400
        assert not (tmp_path / "r").exists()


def test_terminal_width(tmp_path: Path) -> None:
    """All but what is there to be copied fits 80 columns."""
    for args in ([], ["100.64.0.1", "8.8.8.8"], ["0.0.0.0/0"]):
        for line in logscan("networks", *args, cwd=tmp_path).stdout.decode().splitlines():
            assert len(line) <= 80 or "https://" in line, line


def test_reader_that_leaves(tmp_path: Path) -> None:
    """A closed pipe is no error."""
    result = bash("set -o pipefail; logscan networks 0.0.0.0/0 --format json | head -c 1 > /dev/null", cwd=tmp_path)
    assert (result.status, result.stderr) == (0, "")
