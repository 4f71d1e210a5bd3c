"""Where bytes come from: files, directories, standard input and buckets, plain or compressed.

`find` turns what the user named into sources; `Opener` and `open_source` read them in pieces that end where lines end.
Nothing here knows what a line means.
"""

from analyzer.sources.find import Source, find, pod_of_path
from analyzer.sources.opening import Opener, open_source
from analyzer.sources.reading import MAX_LINE, Block, Piece, Reader

__all__ = ["MAX_LINE", "Block", "Opener", "Piece", "Reader", "Source", "find", "open_source", "pod_of_path"]
