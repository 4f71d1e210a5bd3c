"""A place for a state: a folder, and a bucket of moto's server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from bucket_servers import Server, moto
from state_places import Bucket, Folder, Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server of S3."""
    with moto() as running:
        yield running


@pytest.fixture
def bucket(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A place in a bucket, and the variables that lead there."""
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    return Bucket(server, f"states/{tmp_path.name}")


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place for a state."""
    found: Place = request.getfixturevalue("bucket") if request.param == "bucket" else Folder(tmp_path / "state")
    return found
