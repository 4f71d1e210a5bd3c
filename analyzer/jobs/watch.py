"""``logscan watch``: logs that grow, to readings of their last minutes, again and again."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from analyzer.findings.evaluate import usable_findings
from analyzer.jobs.judging import Judge
from analyzer.jobs.window import Window
from analyzer.parsing.detect import HEAD, Shape, detect, detect_head
from analyzer.parsing.layers import is_open, joins
from analyzer.report.watch import Noted, Watched
from analyzer.runs.logs import Log, Work
from analyzer.runs.piece_scan import PieceScan
from analyzer.runs.rejects import Rejects
from analyzer.runs.run import Run
from analyzer.sources import Piece
from analyzer.sources.following import Follower
from analyzer.sources.reading import Held
from analyzer.tables import Fold

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from analyzer.jobs.given import Given
    from analyzer.parsing.detect import Known
    from analyzer.readings.skew import By
    from analyzer.report.model import Report
    from analyzer.sources import Block
    from analyzer.sources.following import Followed

#: Bytes that wait to be scanned at most: scanning many lines at once costs far less by the line.
WAITING = 8 << 20
#: Lines after which what was scanned is added to the window, however long it is until it is shown.
FOLDED = 100_000
#: Seconds between two looks at which files there are, and how many times as long as a look they are at least.
_LOOK, _LOOK_COST = 0.2, 20
#: Seconds that a finding which holds no more is still told of.
_GONE = 60.0


class Watch:
    """Follows logs; `read` takes what is there, `turn` makes the readings.

    Parameters
    ----------
    follower
        What to read.
    known
        What a log may be.
    judge
        Makes the readings.
    window
        Seconds that they are of.
    """

    def __init__(self, follower: Follower, known: Known, judge: Judge, window: float) -> None:
        self._follower = follower
        self._known = known
        self._judge = judge
        self._window = Window(window, judge.classifier)
        self._shapes: dict[str, Shape] = {}
        self._open_records: dict[str, int | None] = {}
        self._waiting: dict[str, tuple[Followed, list[Block]]] = {}
        self._size = 0
        self._look_at = self._turned = self._folded = time.monotonic()
        self._run = self._new_run()
        self._noted: dict[str, Noted] = {}
        self._lines = 0
        self.lines = 0

    @property
    def pipes(self) -> list[int]:
        """Descriptors that tell when there is more to read."""
        return self._follower.pipes()

    @property
    def ended(self) -> bool:
        """Whether no more lines will come."""
        return self._follower.ended

    def read(self) -> bool:
        """Take what is new, and scan where much waits; say whether there was anything."""
        begun = time.monotonic()
        if begun > self._look_at:
            self._follower.look()
            looked = time.monotonic()
            self._look_at = looked + max(_LOOK, _LOOK_COST * (looked - begun))
        before = self._size
        for followed, blocks in self._follower.read(WAITING - self._size):
            self._waiting.setdefault(followed.source.uri, (followed, []))[1].extend(blocks)
            self._size += sum(block.stop for block in blocks)
        found = self._size > before
        if self._size >= WAITING:
            self._scan()
        return found

    def turn(self) -> Watched:
        """Make the readings of the window as it is now."""
        self._scan()
        self._fold()
        now, begun = time.monotonic(), self._turned
        lines, self._lines, self._turned = self._lines, 0, now
        self.lines += lines
        tables = self._window.tables()
        report, labelled = self._judge.judge(self._window, tables, time.perf_counter())
        crowd = self._window.crowd
        report = replace(report, preservation=crowd.told(report.preservation, labelled, self._judge.top))
        followed = self._follower.followed
        self._shapes = {uri: shape for uri, shape in self._shapes.items() if uri in followed}
        self._open_records = {uri: at for uri, at in self._open_records.items() if uri in followed}
        moment = datetime.now(UTC)
        self._note(report, moment)
        return Watched(
            time=moment,
            window_seconds=self._window.seconds,
            logs=len(followed),
            errors=[f"{uri}: {each.error}" for uri, each in followed.items() if each.error],
            formats=sorted(self._window.formats()),
            lines=self.lines,
            lines_per_second=lines / max(now - begun, 1e-3),
            shares=self._window.shares(labelled),
            others=crowd.requests(labelled),
            findings=[each for each in self._noted.values() if each.until is None],
            gone=[each for each in self._noted.values() if each.until is not None],
            ended=self.ended,
            report=report,
        )

    def close(self) -> None:
        """Let go of the logs."""
        self._follower.close()

    def _new_run(self) -> Run:
        return Run([], self._known, Fold(self._judge.classifier), (None, None), None)

    def _scan(self) -> None:
        logs = {log.source.uri: log for log in self._run.logs}
        with Rejects(None, ()) as rejects:
            for uri, (followed, blocks) in self._waiting.items():
                shape = self._shape(followed, blocks)
                log = logs.get(uri)
                if log is None:
                    log = Log(len(self._run.logs), followed.source, shape=shape)
                    log.other.continues_at = self._open_records.get(uri)
                    self._run.logs.append(log)
                log.shape = shape
                log.bytes_read += sum(block.stop for block in blocks)
                piece = Piece(blocks[0].offset, inside=False, content=Held(blocks, lambda _: None))
                scanned = PieceScan(piece, shape, self._known, keep_rejected=False).scan()
                self._run.add(Work(log, piece, shape), scanned, rejects)
        self._waiting, self._size = {}, 0
        if sum(log.lines for log in self._run.logs) >= FOLDED:
            self._fold()

    def _fold(self) -> None:
        """Add to the window what was scanned."""
        run, begun, now = self._run, self._folded, time.monotonic()
        self._run, self._folded = self._new_run(), now
        for log in run.logs:
            self._lines += log.lines
            self._open_records[log.source.uri] = log.other.continues_at
        self._window.add(run, run.fold.tables(), begun, now)  # type: ignore[attr-defined]

    def _shape(self, followed: Followed, blocks: list[Block]) -> Shape:
        """What a log is, by its first lines or, where these tell nothing, by those that come."""
        uri = followed.source.uri
        shape = self._shapes.get(uri)
        if shape is None and followed.head:
            shape = self._shapes[uri] = self._looked_at(followed.head)
        if shape is None or shape.layout is None:
            text = b"".join(bytes(block.text[: block.stop]) for block in blocks if not block.too_long)
            found = self._looked_at(text[:HEAD]) if shape is None else detect(text, self._known)
            shape = self._shapes[uri] = found if shape is None or found.layout is not None else shape
        followed.open_end = partial(is_open, shape.layers) if joins(shape.layers) else None
        return shape

    def _looked_at(self, head: bytes) -> Shape:
        found = detect_head(head, self._known)
        if found.document is None:
            return found
        return Shape(self._known.layouts[0] if self._known.chosen else None)  # it would never be over

    def _note(self, report: Report, now: datetime) -> None:
        """Remember since when findings hold, and for a while those that hold no more."""
        held = {found.id: found for found in report.findings}
        noted = {}
        for id_, found in held.items():
            before = self._noted.get(id_)
            since = before.since if before is not None and before.until is None else now
            noted[id_] = Noted(id_, found.severity, found.title, since, None)
        for id_, before in self._noted.items():
            until = before.until or now
            if id_ not in held and (now - until).total_seconds() < _GONE:
                noted[id_] = Noted(id_, before.severity, before.title, before.since, until)
        self._noted = noted


def watch(source: Iterable[str | os.PathLike[str]], given: Given, *, window: float, by: By | None, top: int) -> Watch:
    """Begin to follow logs; `window` is in seconds, `by` and `top` are as those of `analyzer.jobs.analyze.analyze`.

    Raises
    ------
    LogscanError
        For options that cannot be meant and logs that are not there.
    """
    judge = Judge(
        classifier=given.classifier(),
        finding_rules=usable_findings(given.rules),
        cluster=given.cluster,
        by=by,
        top=top,
    )
    return Watch(Follower(source), given.formats(), judge, window)
