"""Where bytes come from: files, globs, directories and standard input, plain or compressed.

`find` turns what the user named into sources; `open_source` reads one in pieces that end where lines end. Nothing here
knows what a line means.
"""

from analyzer.sources.find import Source, find, pod_of_path
from analyzer.sources.opening import open_source
from analyzer.sources.reading import MAX_LINE, Block, Piece, Reader

__all__ = ["MAX_LINE", "Block", "Piece", "Reader", "Source", "find", "open_source", "pod_of_path"]
