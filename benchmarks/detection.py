"""Say how long it takes to find out what a log is: in this process at first, and again and again.

    python benchmarks/detection.py LOG --repeats 50

`load` reads the rules, `first` is the first look at the log, as each run has it, and `again` the median of more looks:
all in milliseconds. Imports are left out: they are the program's start-up.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time

from analyzer.parsing.detect import detect_head, to_choose_from
from analyzer.parsing.envelopes import load_envelopes
from analyzer.parsing.formats import load_formats
from analyzer.parsing.layers import name_of
from analyzer.sources import find, open_source


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description="Measure the detection of a log's format.")
    parser.add_argument("log")
    parser.add_argument("--repeats", type=int, default=50)
    options = parser.parse_args()
    reader = open_source(next(iter(find([options.log]))))
    head = reader.head
    reader.close()
    begun = time.perf_counter()
    known = to_choose_from(load_formats(), load_envelopes(), None)
    took = [time.perf_counter()]
    shape = detect_head(head, known)
    for _ in range(options.repeats):
        took.append(time.perf_counter())
        detect_head(head, known)
    took.append(time.perf_counter())
    looks = [1000 * (end - start) for start, end in itertools.pairwise(took)]
    answer = {
        "format": shape.layout.name if shape.layout else None,
        "envelope": name_of(shape.layers),
        "load": 1000 * (took[0] - begun),
        "first": looks[0],
        "again": statistics.median(looks[1:]),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
