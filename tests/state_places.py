"""Where states of tests are kept: a folder, or a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from bucket_servers import Server


class Folder:
    """A state in a folder."""

    def __init__(self, path: Path) -> None:
        self.url, self._path = str(path), path

    def files(self) -> dict[str, bytes]:
        """The files of the state."""
        return {file.name: file.read_bytes() for file in self._path.iterdir() if file.name != "lock"}

    def put(self, name: str, content: bytes | None) -> None:
        """Change a file; None removes it."""
        (self._path / name).unlink()
        if content is not None:
            (self._path / name).write_bytes(content)


class Bucket:
    """A state in a bucket."""

    def __init__(self, server: Server, prefix: str) -> None:
        from obstore.store import S3Store  # noqa: PLC0415 - an extra

        self.url = server.url(prefix)
        env = server.env
        keys = {"access_key_id": env["AWS_ACCESS_KEY_ID"], "secret_access_key": env["AWS_SECRET_ACCESS_KEY"]}
        client = {"allow_http": True}
        where = {"endpoint": env["AWS_ENDPOINT_URL"], "region": env["AWS_REGION"]}
        self._store = S3Store("logs", prefix=prefix, client_options=client, **where, **keys)  # type: ignore[arg-type]

    def files(self) -> dict[str, bytes]:
        """See `Folder`."""
        import obstore  # noqa: PLC0415

        names = [about["path"] for page in obstore.list(self._store) for about in page]
        return {name: bytes(obstore.get(self._store, name).bytes()) for name in names if name != "conditions"}

    def put(self, name: str, content: bytes | None) -> None:
        """See `Folder`."""
        import obstore  # noqa: PLC0415

        if content is None:
            obstore.delete(self._store, name)
        else:
            obstore.put(self._store, name, content)


Place = Folder | Bucket
