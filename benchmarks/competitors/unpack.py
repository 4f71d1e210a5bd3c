"""Decompress a file to nowhere, with the library that logscan uses for its kind; print how many bytes it held."""

from __future__ import annotations

import sys

if sys.argv[1].endswith(".gz"):
    from isal.igzip import open as opened
elif sys.version_info >= (3, 14):
    from compression.zstd import open as opened
else:
    from backports.zstd import open as opened

buffer, held = bytearray(1 << 20), 0
with opened(sys.argv[1], "rb") as file:
    while got := file.readinto(buffer):
        held += got
print(held)
