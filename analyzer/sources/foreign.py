"""What is no log as it stands, told by its first bytes, and what makes one of it.

Read otherwise, its bytes would make rejected lines that say nothing of why.
"""

from __future__ import annotations

import re

from analyzer.errors import SourceError

#: What begins so, and what to do about it; `FILE` stands for its name.
_FOREIGN = (
    (rb"PK\x03\x04|PK\x05\x06", "a zip archive", "unzip -p FILE | logscan analyze -"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "7z x -so FILE | logscan analyze -"),
    (rb"Rar!\x1a\x07", "a RAR archive", "unrar p -inul FILE | logscan analyze -"),
    (
        rb"[\s\S]{257}ustar",
        "a tar archive",
        "unpack it into a folder (tar -xf FILE -C FOLDER), then logscan analyze FOLDER",
    ),
    (rb"\x04\x22\x4d\x18|\x02\x21\x4c\x18", "compressed with lz4", "lz4 -dc FILE | logscan analyze -"),
    (rb"\xff\x06\x00\x00sNaPpY", "compressed with snappy", "snzip -dc FILE | logscan analyze -"),
    (rb"\x1f[\x9d\xa0]", "compressed with compress", "gzip -dc FILE | logscan analyze -"),
    (rb"\x89LZO\x00", "compressed with lzop", "lzop -dc FILE | logscan analyze -"),
    (rb"LZIP\x01", "compressed with lzip", "lzip -dc FILE | logscan analyze -"),
    (rb"PAR1", "a Parquet file", "export the log as JSON or text instead, or write its rows out as JSON lines"),
    (rb"ARROW1\x00\x00", "an Arrow file", "write its rows out as JSON lines"),
    (rb"Obj\x01", "an Avro file", "write its records out as JSON lines (avro-tools tojson FILE)"),
    (rb"SQLite format 3\x00", "an SQLite database", "write its rows out as JSON lines"),
    (rb"LPKSHHRH", "a journal of systemd", "journalctl --file FILE -o json | logscan analyze -"),
    (rb"\x1f\x8b|\x28\xb5\x2f\xfd|\xfd7zXZ\x00|BZh[1-9]1AY", "compressed twice", "unpack it once"),
    (
        rb"---\r?\n[\s\S]{0,4000}?\n(?:textPayload|jsonPayload|logName|insertId): ",
        "YAML, as gcloud logging read writes it",
        "give gcloud --format=json",
    ),
    (
        rb'"?(?:@?timestamp|_time|time|date|ts|tsNs)"?,(?:[^\n]*,)?"?(?:@?message|_raw|line|log|textPayload)"?[,\r\n]',
        "a table in CSV",
        "export the log as JSON, or as text without a heading and quotes",
    ),
    (rb"\xff\xfe\x00\x00|\x00\x00\xfe\xff", "UTF-32", "iconv -f UTF-32 -t UTF-8 FILE | logscan analyze -"),
    (
        rb"\xff\xfe[\t-~]\x00|\xfe\xff\x00[\t-~]",
        "UTF-16 within a compressed file",
        "unpack it: UTF-16 is read as it stands",
    ),
)
_KNOWN = [(re.compile(pattern, re.IGNORECASE), what, remedy) for pattern, what, remedy in _FOREIGN]


def refuse_foreign(head: bytes) -> None:
    """Refuse what is no text; `head` is how it begins, decompressed.

    Raises
    ------
    SourceError
        With what it is and what to do.
    """
    for begins, what, remedy in _KNOWN:
        if begins.match(head):
            raise SourceError(f"expected a log of text or JSON, found {what}", remedy)
