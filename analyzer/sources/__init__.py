"""Where bytes come from: files, globs, directories and standard input, plain or compressed.

`find` turns what the user named into sources; `open_source` reads one in pieces that end where lines end. Nothing here
knows what a line means.
"""

from analyzer.sources.find import Source, find
from analyzer.sources.reading import Piece, Reader, open_source

__all__ = ["Piece", "Reader", "Source", "find", "open_source"]
