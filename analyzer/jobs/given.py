"""What a user gives as options, as the rest of the program takes it."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from analyzer.addresses.classify import Classifier, declared
from analyzer.errors import FormatError, UsageError
from analyzer.jobs.times import as_time
from analyzer.parsing.detect import to_choose_from
from analyzer.parsing.envelopes import load_envelopes
from analyzer.parsing.formats import load_formats
from analyzer.parsing.log_format import LineFormat, compile_format

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from analyzer.addresses.cluster import Cluster
    from analyzer.parsing.detect import Known

Span = tuple["datetime | None", "datetime | None"]
T = TypeVar("T", str, int)


def names_of(source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str | os.PathLike[str]]:
    """The names of files: one, or several."""
    return [source] if isinstance(source, (str, os.PathLike)) else list(source)


def logs_named(source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str | os.PathLike[str]]:
    """The same of logs, of which there must be one."""
    names = names_of(source)
    if not names:
        raise UsageError("expected a log to read, got none")
    return names


def several(kind: type[T], values: T | Iterable[T]) -> list[T]:
    """The values of an option that may be given more than once: one alone, or several."""
    return [values] if isinstance(values, kind) else list(values)  # type: ignore[arg-type]


class Given:
    """What a user says of the place that logs are from, whatever is done with them.

    Parameters
    ----------
    cluster, controller, log_format, node, lb, client, private, rules
        As those of `analyzer.jobs.analyze.analyze`.

    Attributes
    ----------
    cluster
        What was loaded of the cluster file, where there is one.
    log_format
        As it was given.
    rules
        Folders with more rules.

    Raises
    ------
    LogscanError
        For what cannot be meant, and a cluster file that cannot be read.
    """

    def __init__(  # noqa: PLR0913 - the options that commands share
        self,
        *,
        cluster: Cluster | str | os.PathLike[str] | None = None,
        controller: Iterable[str] = (),
        log_format: str | None = None,
        node: Iterable[str] = (),
        lb: Iterable[str] = (),
        client: Iterable[str] = (),
        private: Iterable[str] = (),
        rules: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
    ) -> None:
        self.cluster = _open_cluster(cluster, several(str, controller))
        self.log_format = log_format
        self.rules = [Path(folder) for folder in names_of(rules)]
        self._declared = declared(node=node, lb=lb, client=client, private=private)

    def classifier(self) -> Classifier:
        """Says by ranges what addresses are."""
        return Classifier(self._declared, self.cluster.networks() if self.cluster else (), self.rules)

    def formats(self) -> Known:
        """What a log may be: of the given format, or of any, those of the cluster's controllers first.

        A format that nginx itself would refuse is no format of any line.
        """
        configured: list[LineFormat] = []
        for controller in self.cluster.controllers if self.cluster is not None else ():
            if controller.log_format is not None:
                with suppress(FormatError):
                    name = f"{controller.namespace}/{controller.name}"
                    configured.append(compile_format(controller.log_format, name))
        return to_choose_from(load_formats(self.rules), load_envelopes(self.rules), self.log_format, configured)


def _open_cluster(given: Cluster | str | os.PathLike[str] | None, controllers: Sequence[str]) -> Cluster | None:
    """The cluster file, where there is one."""
    if not isinstance(given, str | os.PathLike):
        if controllers:
            raise UsageError("--controller: expected a cluster file (--cluster) that holds it")
        return given
    from analyzer.addresses.cluster import Cluster  # noqa: PLC0415 - many modules, read only with a cluster file

    return Cluster.load(Path(given), controllers)


def time_span(since: datetime | str | None, until: datetime | str | None) -> Span:
    """A half-open range of time; a time without a zone is UTC."""
    moments = as_time("--since", since), as_time("--until", until)
    try:
        start, end = (
            moment and (moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)) for moment in moments
        )
    except OverflowError:
        raise UsageError("--since, --until: expected times between the years 1 and 9999 in UTC") from None
    if start is not None and end is not None and start >= end:
        raise UsageError(f"--until: expected a time after --since {start.isoformat()}, got {end.isoformat()}")
    return start, end
