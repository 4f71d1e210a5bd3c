"""Buckets whose answers go wrong: nothing is lost in silence, nothing is counted twice, and the run goes on."""

from __future__ import annotations

import gzip
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from command import LINE, logscan
from end_to_end.servers import free_port
from faulty_bucket import FaultyBucket, faulty_bucket

from analyzer.errors import SourceError
from analyzer.sources import Opener, Source, find
from analyzer.sources.bucket_config import bucket_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from command import Result

pytest.importorskip("obstore", reason="the extra for buckets is not installed")

FIRST, SECOND, THIRD = "s3://logs/1.log", "s3://logs/2.log", "s3://logs/3.log"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyBucket]:
    """Three objects of 1,000 lines each."""
    with faulty_bucket() as serving:
        serving.objects = {f"{number}.log": LINE * 1000 for number in (1, 2, 3)}
        for name, value in serving.env.items():
            monkeypatch.setenv(name, value)
        yield serving


def _analyze(bucket: FaultyBucket, tmp_path: Path, *args: str) -> Result:
    return logscan("analyze", *(args or ("s3://logs/",)), "--format", "json", "--quiet", cwd=tmp_path, env=bucket.env)


@pytest.mark.parametrize("fault", ["500 InternalError", "503 SlowDown", "cut", "429 TooManyRequests"])
def test_a_fault_that_passes(fault: str, bucket: FaultyBucket, tmp_path: Path) -> None:
    """What goes wrong once is tried again, and the report is as if nothing had been."""
    bucket.faults = {"2.log": [fault, "ok"], "?list": ["503 SlowDown", "ok"]}
    result = _analyze(bucket, tmp_path)
    assert (result.status, result.stderr) == (0, "")
    assert result.report["input"]["parsed"] == 3000


def test_an_answer_that_pauses(bucket: FaultyBucket, tmp_path: Path) -> None:
    """A slow answer is waited for."""
    bucket.faults = {"1.log": ["pause"], "2.log": ["pause"], "3.log": ["pause"]}
    assert _analyze(bucket, tmp_path).report["input"]["parsed"] == 3000


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("500 InternalError", "cannot be read: the server answered 500 Internal Server Error (InternalError)"),
        ("503 SlowDown", "cannot be read: the server answered 503 Service Unavailable (SlowDown)"),
        ("403 AccessDenied", "access was denied: the server answered 403 Forbidden (AccessDenied)"),
        ("cut", "cannot be read: "),
        ("short", "cannot be read: "),
        ("whole", "cannot be read: "),
        ("rewrite", "was written anew while it was read"),
        ("404 NoSuchKey", "was listed, but is not there any more"),
    ],
)
def test_one_unreadable_object(fault: str, said: str, bucket: FaultyBucket, tmp_path: Path) -> None:
    """An object that cannot be read is named on stderr and in the report, the others are read, and the status is 2."""
    bucket.faults = {"2.log": [fault]}
    result = _analyze(bucket, tmp_path)
    assert result.status == 2
    assert result.stderr.startswith(f"logscan: {SECOND}: {said}"), result.stderr
    assert result.stderr.count("\n") == 1
    assert "secret" not in result.stderr
    rows = {row["uri"]: row for row in result.report["input"]["sources"]}
    assert {uri: row["parsed"] for uri, row in rows.items()} == {FIRST: 1000, SECOND: 0, THIRD: 1000}
    assert rows[SECOND]["error"].startswith(said)
    assert rows[FIRST]["error"] is None


def test_a_server_that_is_not_there(bucket: FaultyBucket, tmp_path: Path) -> None:
    """What is said is why, and not how long it took to find out."""
    server = f"http://127.0.0.1:{free_port()}"
    env = {**bucket.env, "AWS_ENDPOINT_URL": server, "AWS_MAX_ATTEMPTS": "1"}
    result = logscan("analyze", "s3://logs/", cwd=tmp_path, env=env)
    assert (result.status, result.stdout) == (2, b"")
    assert result.stderr == f"logscan: s3://logs/: cannot be read: no answer from {server}: Connection refused\n"


def test_a_gap_in_the_middle(bucket: FaultyBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read before an answer failed counts, whole lines and no more; what stands behind the gap does not."""
    monkeypatch.setattr("analyzer.sources.opening.PART", 10_000)
    monkeypatch.setattr("analyzer.sources.fetch.CONNECTIONS", 1)  # so that faults meet ranges in order
    (source,) = find([FIRST])
    bucket.faults = {"1.log": ["ok", "ok", "ok", "403 AccessDenied", "403 AccessDenied", "403 AccessDenied", "ok"]}
    opener = Opener([source])
    reader = opener.open(source)
    text = b"".join(bytes(block.text[: block.stop]) for piece in reader.pieces() for block in piece.blocks())
    reader.close()
    opener.close()
    assert reader.error is not None
    assert "from byte " in reader.error
    assert "access was denied" in reader.error
    assert len(text) < len(LINE) * 1000
    assert (LINE * 1000).startswith(text)


def test_a_server_that_stalls(bucket: FaultyBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that stops is given up after a while."""
    monkeypatch.setattr("analyzer.sources.buckets._READ_TIMEOUT", timedelta(seconds=0.2))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    bucket.objects["stalls.log"] = LINE * 1000
    bucket.faults = {"stalls.log": ["stall"]}
    (source,) = find(["s3://logs/stalls.log"])
    with pytest.raises(SourceError, match=r"s3://logs/stalls\.log: cannot be read: "):
        Opener([source]).open(source)


def test_an_object_cut_short(bucket: FaultyBucket, tmp_path: Path) -> None:
    """Of a compressed object that was not stored whole the lines before its end count, and it is named."""
    whole = gzip.compress(b"".join(LINE.replace(b"612", b"%d" % number, 1) for number in range(20_000)))
    bucket.objects["2.log"] = whole[: len(whole) // 2]
    result = _analyze(bucket, tmp_path)
    assert result.status == 2
    assert result.stderr.startswith(f"logscan: {SECOND}: the gzip stream ends too soon, at byte ")
    rows = {row["uri"]: row for row in result.report["input"]["sources"]}
    assert 5000 < rows[SECOND]["parsed"] < 15_000
    assert rows[THIRD]["parsed"] == 1000


def test_a_compressed_object_read_again(bucket: FaultyBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged gzip object is read once more from its beginning, and loses nothing before the damage."""
    monkeypatch.setattr("analyzer.sources.opening.PART", 1000)
    lines = b"".join(LINE.replace(b"612", b"%d" % number, 1) for number in range(20_000))
    whole = gzip.compress(lines)
    bucket.objects["1.log"] = whole[:-2000] + b"\xff" * 1000 + whole[-1000:]
    (source,) = find([FIRST])
    opener = Opener([source])
    reader = opener.open(source)
    text = b"".join(bytes(block.text[: block.stop]) for piece in reader.pieces() for block in piece.blocks())
    reader.close()
    opener.close()
    assert reader.error is not None
    assert len(text) > 0.9 * len(lines)
    assert lines.startswith(text[: text.rfind(b"\n", 0, -200_000) + 1])


def test_an_only_object_that_cannot_be_read(bucket: FaultyBucket, tmp_path: Path) -> None:
    """With nothing else to read there is no report."""
    bucket.faults = {"1.log": ["ok", "503 SlowDown"]}  # the first answers the question whether it is there
    result = _analyze(bucket, tmp_path, FIRST)
    assert (result.status, result.stdout) == (2, b"")
    assert result.stderr.startswith(f"logscan: {FIRST}: cannot be read: the server answered 503")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("403 AccessDenied", "access was denied: the server answered 403 Forbidden (AccessDenied)"),
        ("403 InvalidAccessKeyId", "access was denied: the server answered 403 Forbidden (InvalidAccessKeyId)"),
        ("404 NoSuchBucket", "expected a bucket, found none named logs"),
        ("503 SlowDown", "cannot be read: the server answered 503 Service Unavailable (SlowDown)"),
    ],
)
def test_a_bucket_that_cannot_be_listed(fault: str, said: str, bucket: FaultyBucket, tmp_path: Path) -> None:
    """A bucket that refuses to be listed is an error in one line, with the variables to look at."""
    bucket.faults = {"?list": [fault]}
    result = _analyze(bucket, tmp_path)
    hint = "\n  hint: look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; AWS_REGION; AWS_ENDPOINT_URL"
    assert (result.status, result.stdout) == (2, b"")
    assert result.stderr == f"logscan: s3://logs/: {said}{hint if 'denied' in said else ''}\n"


def test_a_key_that_cannot_be_asked_for(bucket: FaultyBucket, tmp_path: Path) -> None:
    """An object whose key is no path is not left out in silence."""
    bucket.objects["a//b.log"] = LINE
    result = _analyze(bucket, tmp_path)
    assert (result.status, result.stdout) == (2, b"")
    assert result.stderr.startswith("logscan: s3://logs/: cannot be listed: ")
    assert "a//b.log" in result.stderr


def test_markers_of_folders(bucket: FaultyBucket) -> None:
    """An empty object that stands for a folder is none of the logs; an empty log is one."""
    bucket.objects |= {"pods/": b"", "pods/1.log": LINE, "pods/2.log": b""}
    assert [source.uri for source in find(["s3://logs/pods/"])] == ["s3://logs/pods/1.log", "s3://logs/pods/2.log"]


def test_nobody_listens(tmp_path: Path) -> None:
    """An endpoint that nobody listens at is named in one line."""
    env = {**FaultyBucket().env, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
    result = logscan("analyze", "s3://logs/", cwd=tmp_path, env=env)
    assert (result.status, result.stdout) == (2, b"")
    assert result.stderr.startswith("logscan: s3://logs/: cannot be read: ")
    assert result.stderr.count("\n") == 1


def test_no_credentials(tmp_path: Path) -> None:
    """Where there are no keys and no service to ask for them, the variables are named."""
    env = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}
    result = logscan("analyze", "s3://logs/", cwd=tmp_path, env=env)
    assert result.status == 2
    assert result.stderr.startswith(
        "logscan: s3://logs/: expected credentials, found none\n  hint: set AWS_ACCESS_KEY_ID"
    )


def test_without_the_extra(tmp_path: Path) -> None:
    """Without obstore the error names the extra to install, and files are still read."""
    (tmp_path / "access.log").write_bytes(LINE)
    script = "import sys; sys.modules['obstore'] = None; sys.argv[0] = 'logscan'; from analyzer.cli import main; main()"
    command = [sys.executable, "-c", script, "analyze", "--quiet"]
    files = subprocess.run([*command, "access.log"], cwd=tmp_path, capture_output=True, check=False)
    assert (files.returncode, files.stderr) == (0, b"")
    bucket = subprocess.run([*command, "s3://logs/"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert bucket.returncode == 2
    assert bucket.stderr == (
        "logscan: s3://logs/: expected obstore, which reads buckets, found it not installed\n"
        "  hint: pip install '.[buckets]' in logscan's source folder installs it\n"
    )


def test_listing_less(bucket: FaultyBucket) -> None:
    """A glob asks for no more of a bucket than what begins like it."""
    bucket.objects |= {f"2026/11/{day}/access.log": LINE for day in range(10, 30)}
    find(["s3://logs/2026/11/2*/"])
    assert bucket.requests == ["GET ?list-type=2&prefix=2026/11/&start-after=2026/11/1~"]


def test_requests_for_many_objects(bucket: FaultyBucket, tmp_path: Path) -> None:
    """An object costs one request, and a prefix one for each thousand of them."""
    bucket.objects = {f"many/{number:03}.log": LINE for number in range(300)}
    assert _analyze(bucket, tmp_path, "s3://logs/many/").report["input"]["parsed"] == 300
    assert len(bucket.requests) == 301


def test_profiles_of_aws(tmp_path: Path) -> None:
    """Keys and region come from the profile that AWS_PROFILE names, as AWS's tools read it; variables come first."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text("[work]\naws_access_key_id = AKIA\naws_secret_access_key = s%3\n")
    (tmp_path / ".aws" / "config").write_text("[profile work]\nregion = eu-west-1\n[profile sso]\nsso_session = x\n")
    env = {"HOME": str(tmp_path), "AWS_PROFILE": "work"}
    expected = {"access_key_id": "AKIA", "secret_access_key": "s%3", "region": "eu-west-1"}
    assert bucket_config("s3", env).options == expected
    assert bucket_config("s3", {**env, "AWS_REGION": "eu-north-1"}).options["region"] == "eu-north-1"
    with pytest.raises(SourceError, match=r"AWS_PROFILE: expected a profile of .*, got 'none'"):
        bucket_config("s3", {**env, "AWS_PROFILE": "none"})
    with pytest.raises(SourceError, match="only AWS's tools can sign in with") as caught:
        bucket_config("s3", {**env, "AWS_PROFILE": "sso"})
    assert caught.value.hint == 'eval "$(aws configure export-credentials --profile sso --format env)"'


def test_variables_of_azure() -> None:
    """What az and its connection strings say is understood, also with = in the key."""
    text = "DefaultEndpointsProtocol=https;AccountName=logs;AccountKey=a2V5PQ==;EndpointSuffix=core.windows.net"
    assert bucket_config("az", {"AZURE_STORAGE_CONNECTION_STRING": text}).options == {
        "account_name": "logs",
        "account_key": "a2V5PQ==",
        "endpoint": "https://logs.blob.core.windows.net",
    }
    env = {"AZURE_STORAGE_ACCOUNT": "logs", "AZURE_STORAGE_SAS_TOKEN": "?sv=1&sig=x"}
    assert bucket_config("az", env).options == {"account_name": "logs", "sas_key": "sv=1&sig=x"}


def test_a_source_of_a_bucket_says_so() -> None:
    """Files are never taken for objects."""
    assert Source("s3://logs/1.log").in_bucket
    assert not Source("s3:/logs/1.log").in_bucket
