"""Logs in buckets: what URLs name, what is read of them, and what is said where they cannot be read."""

from __future__ import annotations

import gzip
import json
import string
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import bucket_servers
import pytest
from command import LINE, logscan

from analyzer.errors import SourceError, UsageError
from analyzer.sources import Opener, find
from analyzer.sources.buckets import glob_pattern
from analyzer.sources.dates import dated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bucket_servers import Server

pytest.importorskip("obstore", reason="the extra for buckets is not installed")

#: What the buckets hold: hours of two days, beside them what no test of them means.
KEYS = [f"ingress/2026/11/{day}/{hour:02}/access.log" for day in (19, 20, 21) for hour in (0, 12, 23)]
OTHERS = ["ingress/2026/12/01/00/access.log", "ingress-old/2026/11/20/00/access.log", "one object #1%.log"]


def _lines(number: int) -> bytes:
    return LINE * number


@pytest.fixture(scope="module", params=bucket_servers.SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Each kind of server with the same objects."""
    with bucket_servers.SERVERS[request.param]() as running:
        for number, key in enumerate([*KEYS, *OTHERS]):
            running.put(key, _lines(number + 1))
        running.put("pods/shop_web-7d4_0f6b7e1c-52a9-4f0e-9a55-1c8f0f3c2d11/web/0.log.gz", gzip.compress(_lines(5)))
        running.put("empty/nothing.log", b"")
        running.put("large/access.log", _lines(200_000))
        yield running


@pytest.fixture
def here(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The same, reached from this process too."""
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    return server


def _report(server: Server, tmp_path: Path, *args: str) -> dict[str, Any]:
    result = logscan("analyze", *args, "--format", "json", "--quiet", cwd=tmp_path, env=server.env)
    assert (result.status, result.stderr) == (0, ""), result
    return result.report


@pytest.mark.parametrize(
    ("key", "keys"),
    [
        ("one object #1%.log", ["one object #1%.log"]),
        ("ingress/2026/11/20/", KEYS[3:6]),
        ("ingress/2026/11/20", KEYS[3:6]),
        ("ingress/2026/11/2*/", KEYS[3:]),
        ("ingress/2026/11/2*", KEYS[3:]),
        ("ingress/*/*/*/12/*.log", KEYS[1::3]),
        ("ingress/**/00/*", [*KEYS[::3], OTHERS[0]]),
        ("ingress*/2026/11/20/00/", [OTHERS[1], KEYS[3]]),
        ("ingress/2026/11/[!2]?/2[0-9]/", [KEYS[2]]),
        ("ingress/2026/12/0*/", [OTHERS[0]]),
        ("ingress/2026/11/19/0?/access.log", [KEYS[0]]),
    ],
)
def test_what_a_url_names(key: str, keys: list[str], here: Server) -> None:
    """A URL is an object, a prefix or a glob."""
    assert [source.uri for source in find([here.url(key)])] == sorted(here.url(each) for each in keys)


def test_a_key_that_looks_like_a_glob(here: Server) -> None:
    """It is found by its name, as a file is, where nothing matches it as a glob."""
    here.put("names/[x] {1}.log", b"")
    assert [source.uri for source in find([here.url("names/[x] {1}.log")])] == [here.url("names/[x] {1}.log")]


def test_globs_that_begin_with_any_character(here: Server) -> None:
    """Whatever the last character before the first wildcard, listing begins where the matching keys do."""
    names = [f"names/{first}.log" for first in string.ascii_letters + string.digits + "!$&'()+,-.:;=@_~ "]
    for name in names:
        here.put(name, b"")
    for name in names:
        assert [source.uri for source in find([here.url(f"{name.removesuffix('.log')}*")])] == [here.url(name)]


def test_dates_that_are_asked_for(here: Server) -> None:
    """Of a name with dates only those are found that may hold the time asked for, one hour more at either end."""
    span = datetime(2026, 11, 20, 13, tzinfo=UTC), datetime(2026, 11, 21, 0, 30, tzinfo=UTC)
    found = find([here.url("ingress/{:%Y/%m/%d/%H}/*.log")], span)
    assert [source.uri for source in found] == [here.url(key) for key in KEYS[4:7]]
    assert len(find([here.url("ingress/{:%Y/%m/%d/%H}/*.log")])) == 10


def test_an_object_named_twice_comes_once(here: Server) -> None:
    """Sources are told by their keys."""
    assert len(find([here.url(KEYS[0]), here.url("ingress/2026/11/19/*/*")])) == 3


def test_what_is_known_of_an_object(here: Server) -> None:
    """An object has size, time and ETag, the same by its name and by a prefix, and its key tells the pod."""
    (found,) = find([here.url("pods/")])
    assert (found.namespace, found.pod, found.container) == ("shop", "web-7d4", "web")
    assert find([found.uri]) == [found]
    assert found.size == len(gzip.compress(_lines(5)))
    assert found.etag
    assert '"' not in found.etag
    assert found.modified is not None
    assert abs((datetime.now(UTC) - found.modified).total_seconds()) < 3600


def test_reading_from_a_bucket(server: Server, tmp_path: Path) -> None:
    """Objects are read whole, plain and compressed, large and empty ones."""
    report = _report(
        server, tmp_path, server.url("large/"), server.url("pods/"), server.url("empty/"), server.url("in*/")
    )
    rows = {row["uri"]: row["parsed"] for row in report["input"]["sources"]}
    assert rows[server.url("large/access.log")] == 200_000
    assert sum(rows.values()) == 200_005 + sum(range(1, 12))
    assert report["input"]["bytes"] == sum(source.size or 0 for source in _found(server, "", tmp_path)) - len(
        _lines(12)
    )


def _found(server: Server, key: str, tmp_path: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.env.items():
            patch.setenv(name, value)
        return find([server.url(key)])


def test_ranges_make_the_object(here: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the ranges, and however many come ahead, the bytes of each object are its own, in order."""
    monkeypatch.setattr("analyzer.sources.opening.PART", 777)
    monkeypatch.setattr("analyzer.sources.opening.AHEAD", 3000)
    sources = [source for source in find([here.url("ingress/"), here.url("pods/")]) if "12/01" not in source.uri]
    opener = Opener(sources)
    for number, source in enumerate(sources):
        reader = opener.open(source)
        text = b"".join(bytes(block.text[: block.stop]) for piece in reader.pieces() for block in piece.blocks())
        assert text == (_lines(5) if "pods/" in source.uri else _lines(number + 1)), source
        assert (reader.error, reader.bytes_read) == (None, source.size)
        reader.close()
    opener.close()


def test_sources_that_are_left_early(here: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that nobody reads to its end holds up none of those after it."""
    monkeypatch.setattr("analyzer.sources.opening.PART", 1000)
    monkeypatch.setattr("analyzer.sources.opening.AHEAD", 4000)
    sources = find([here.url("ingress/")])
    opener = Opener(sources)
    for source in sources:
        reader = opener.open(source)
        assert reader.head.startswith(LINE)
        reader.close()
    opener.close()


def test_formats_of_an_object(server: Server, tmp_path: Path) -> None:
    """`logscan formats` says what an object is, and how it is compressed."""
    found = logscan("formats", server.url("pods/"), "--format", "json", cwd=tmp_path, env=server.env)
    (source,) = json.loads(found.stdout)["sources"]
    assert (source["format"], source["compression"], source["parsed"]) == ("ingress-nginx", "gzip", 5)


@pytest.mark.parametrize("key", ["nothing.log", "nothing/", "ingress/2027/*"])
def test_nothing_there(key: str, server: Server, tmp_path: Path) -> None:
    """A URL that names nothing is said in one line."""
    result = logscan("analyze", server.url(key), cwd=tmp_path, env=server.env)
    expected = f"logscan: {server.url(key)}: expected an object, a prefix or a glob that matches, found nothing there\n"
    assert (result.status, result.stdout, result.stderr) == (2, b"", expected)


def test_a_bucket_that_is_not_there(server: Server, tmp_path: Path) -> None:
    """A bucket that does not exist is said to be missing."""
    url = f"{server.scheme}://no-such-bucket/ingress/"
    result = logscan("analyze", url, cwd=tmp_path, env=server.env)
    assert (result.status, result.stdout) == (2, b"")
    if server.scheme != "gs":  # fake-gcs-server lists nothing there, as of a bucket that is empty
        assert result.stderr == f"logscan: {url}: expected a bucket, found none named no-such-bucket\n"


def test_times_asked_for_select_what_is_read(server: Server, tmp_path: Path) -> None:
    """--since and --until choose among the dates of names, before a log is opened."""
    span = ["--since", "2026-11-21T00:00Z", "--until", "2026-11-21T02:00Z"]
    report = _report(server, tmp_path, server.url("ingress/{:%Y/%m/%d/%H}/"), *span)
    assert [row["uri"] for row in report["input"]["sources"]] == [server.url(KEYS[5]), server.url(KEYS[6])]


@pytest.mark.parametrize(
    ("glob", "key", "matches"),
    [
        ("a/*.gz", "a/b.gz", True),
        ("a/*.gz", "a/b/c.gz", False),
        ("a/*", "a/b/c.gz", True),
        ("a/**/c.gz", "a/c.gz", True),
        ("a/**/c.gz", "a/b/b/c.gz", True),
        ("a/**", "a/b/c.gz", True),
        ("a?c", "a/c", False),
        ("[!b]/c", "a/c", True),
        ("a[!b]c", "a/c", False),
        ("a[*]c", "a*c", True),
        ("a[]]c", "a]c", True),
        ("a[", "a[", True),
        ("a[^]c", "a^c", True),
        ("a.c", "abc", False),
        ("2*/", "2x", False),
    ],
)
def test_globs(glob: str, key: str, matches: bool) -> None:  # noqa: FBT001
    """Globs are those of a shell, where ** is any number of folders; what lies below a folder that matches counts."""
    import re  # noqa: PLC0415

    assert (re.fullmatch(glob_pattern(glob), key) is not None) is matches


def test_dates_come_by_the_widest_units() -> None:
    """A span is listed by whole days where it covers them, and by hours at its ends."""
    span = datetime(2026, 11, 20, 22, 10, tzinfo=UTC), datetime(2026, 11, 22, 1, tzinfo=UTC)
    assert dated("logs/{:%Y/%m/%d/%H}.gz", span) == [
        *(f"logs/2026/11/20/{hour}.gz" for hour in (21, 22, 23)),
        "logs/2026/11/21/[0-9][0-9].gz",
        *(f"logs/2026/11/22/0{hour}.gz" for hour in (0, 1)),
    ]
    assert dated("{:%Y}-{:%m}.gz", (datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))) == [
        *(f"2026-0{month}.gz" for month in (1, 2, 3)),
    ]


def test_every_hour_is_covered_once() -> None:
    """Whatever the span, each hour of it and one more at either end is matched by exactly one of the globs."""
    import fnmatch  # noqa: PLC0415
    from datetime import timedelta  # noqa: PLC0415

    hours = [datetime(2025, 12, 30, tzinfo=UTC) + timedelta(hours=hour) for hour in range(24 * 70)]
    for first, last in ((30, 31), (0, 1500), (47, 700), (720, 745)):
        since, until = hours[first + 2], hours[last + 2] + timedelta(minutes=1)
        globs = dated("{:%Y/%m/%d/%H}", (since, until))
        for hour in hours:
            name = f"{hour:%Y/%m/%d/%H}"
            within = since - timedelta(hours=1) < hour + timedelta(hours=1) and hour < until + timedelta(hours=1)
            assert sum(fnmatch.fnmatchcase(name, glob) for glob in globs) == within, (first, last, name)


@pytest.mark.parametrize("template", ["{:%H}", "{:%Y/%d}", "{:%Y-%j}", "{:%Y%}"])
def test_dates_that_cannot_be_meant(template: str) -> None:
    """A date without its wider units, or of other codes, is refused."""
    with pytest.raises(UsageError, match="expected a date of %Y, %m, %d, %H and %M"):
        dated(template, (None, None))


def test_dates_in_names_of_files(tmp_path: Path) -> None:
    """Files are chosen by their dates as objects are; a file that is really named so is that file."""
    for day in (18, 19, 20, 21):
        (tmp_path / f"access-2026-11-{day}.log").write_bytes(LINE)
    span = datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 20, 12, tzinfo=UTC)
    found = find([tmp_path / "access-{:%Y-%m-%d}.log"], span)
    assert [source.uri[-13:] for source in found] == [
        "2026-11-19.log"[-13:],
        "2026-11-20.log"[-13:],
        "2026-11-21.log"[-13:],
    ]
    with pytest.raises(SourceError, match="in the time asked for"):
        find([tmp_path / "other-{:%Y}.log"], span)


def test_file_urls(tmp_path: Path) -> None:
    """file:// is a path, percent-encoded, a glob or a directory too."""
    path = tmp_path / "an access.log"
    path.write_bytes(LINE)
    for url in (f"file://{tmp_path}/an%20access.log", f"file://localhost{tmp_path}/*.log", f"file://{tmp_path}"):
        assert [source.uri for source in find([url])] == [str(path)]
    with pytest.raises(SourceError, match="expected the path of this machine"):
        find(["file://elsewhere/access.log"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("https://example.com/access.log", "expected s3://, gs://, az:// or file://, got another kind of URL"),
        ("s3://", "expected the name of a bucket, as in s3://BUCKET/PREFIX/"),
    ],
)
def test_other_urls(name: str, expected: str, tmp_path: Path) -> None:
    """What is no URL of a bucket says which are."""
    result = logscan("analyze", name, cwd=tmp_path)
    assert (result.status, result.stderr) == (2, f"logscan: {name}: {expected}\n")
