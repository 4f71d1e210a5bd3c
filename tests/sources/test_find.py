"""Which files of a directory are logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from analyzer.errors import SourceError
from analyzer.sources import find

if TYPE_CHECKING:
    from pathlib import Path

LOGS = [
    "access.log",
    "access.log.1",
    "access.log.1.gz",
    "access.log.2.zst",
    "access_log-20260102.xz",
    "0.log.20260102-150405",
    "0.log.20260102-150405.gz",
    "ingress.LOG",
    "requests.zst",
    "requests.gz",
    "requests.bz2",
    "requests.xz",
    "other_vhosts_access",
]
OTHERS = ["readme.txt", ".hidden.log", "catalog", "login.html", "requests.zst.sha256", "zst", "dump.gzip"]


def test_names_of_logs(tmp_path: Path) -> None:
    """Rotated and compressed logs are found, and nothing else."""
    for name in LOGS + OTHERS:
        (tmp_path / name).touch()
        (tmp_path / name).write_text(name)
    assert [source.uri for source in find([tmp_path])] == sorted(str(tmp_path / name) for name in LOGS)


@pytest.mark.parametrize("name", OTHERS)
def test_a_directory_without_logs(name: str, tmp_path: Path) -> None:
    """A directory in which no file is named like a log says which names are."""
    (tmp_path / name).touch()
    with pytest.raises(SourceError, match=r"found no file named like .*\*\.gz or \*\.zst"):
        find([tmp_path])


@pytest.mark.parametrize("name", ["0.log", "0.log.20260102-150405", "3.log.20260102-150405.gz", "12.log.1.zst"])
def test_the_pod_of_a_rotated_log(name: str, tmp_path: Path) -> None:
    """The kubelet's names tell the pod, rotated and compressed too."""
    folder = tmp_path / "ingress-nginx_controller-8fj2w_0f6b7e1c-52a9-4f0e-9a55-1c8f0f3c2d11" / "controller"
    folder.mkdir(parents=True)
    (folder / name).touch()
    (found,) = find([tmp_path])
    assert (found.namespace, found.pod, found.container) == ("ingress-nginx", "controller-8fj2w", "controller")


def test_folders_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    """Whatever order the file system has, that of the report is always the same."""
    names = [f"{number * 7 % 30:02}" for number in range(30)]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "access.log").touch()
    assert [source.uri for source in find([tmp_path])] == [
        str(tmp_path / name / "access.log") for name in sorted(names)
    ]


def test_a_link_that_leads_nowhere_is_a_log(tmp_path: Path) -> None:
    """It is found, so that opening it tells; a link to a device, which never ends, is none."""
    (tmp_path / "access.log").symlink_to(tmp_path / "gone")
    (tmp_path / "error.log").symlink_to("/dev/null")
    assert [source.uri for source in find([tmp_path])] == [str(tmp_path / "access.log")]


def test_a_file_url_is_of_this_machine(tmp_path: Path) -> None:
    """``localhost`` may stand in it, another host may not; what is escaped is read."""
    log = tmp_path / "a b.log"
    log.touch()
    escaped = str(log).replace(" ", "%20")
    assert [source.uri for source in find([f"file://{escaped}", f"file://localhost{escaped}"])] == [str(log)]
    for url in (f"file://elsewhere{escaped}", "file://localhost"):
        with pytest.raises(SourceError, match="expected the path of this machine"):
            find([url])
