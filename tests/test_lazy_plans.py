"""Whatever a query does to the LazyFrame of a log, it finds what the same query finds on the collected frame."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from lazy_logs import BEGIN, small_pieces, some_logs
from polars.testing import assert_frame_equal

import analyzer as logscan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from polars._typing import EngineType

SEEDS = 5
#: Queries a log: those of several formats take longer, for every line that does not fit is tried with all.
PLANS = {None: 40, "ingress-nginx": 170}

TEXTS = ("remote_addr", "method", "path", "user_agent", "pod", "source", "client_addr", "upstream_status", "host")
NUMBERS = ("status", "offset", "body_bytes_sent", "request_length", "remote_port")
KEYS = ("status", "pod", "path", "client_from", "address", "source", "client_addr")


class Plans:
    """Draws queries: each a list of steps, so that the same may be done twice."""

    def __init__(self, seed: int, columns: list[str]) -> None:
        self._draw = random.Random(seed)
        self._columns = columns
        self._steps: list[Callable[[pl.LazyFrame, pl.LazyFrame], pl.LazyFrame]] = []

    def plan(self) -> Callable[[pl.LazyFrame], pl.LazyFrame]:
        """A query of up to six steps on a frame."""
        self._columns, columns = list(self._columns), self._columns
        self._steps = []
        for _ in range(self._draw.randint(1, 6)):
            step = self._draw.choice([
                self._select, self._filter, self._filter, self._filter, self._head, self._slice, self._tail, self._sort,
                self._with_columns, self._unique, self._group_by, self._join, self._index, self._count, self._reverse,
            ])  # fmt: skip
            step()
        steps, self._columns = self._steps, columns

        def run(frame: pl.LazyFrame) -> pl.LazyFrame:
            found = frame
            for step in steps:
                found = step(found, frame)
            return found

        return run

    def _has(self, names: tuple[str, ...]) -> list[str]:
        return [name for name in names if name in self._columns]

    def _then(self, step: Callable[[pl.LazyFrame], pl.LazyFrame]) -> None:
        self._steps.append(lambda found, _: step(found))

    def _select(self) -> None:
        chosen = self._draw.sample(self._columns, self._draw.randint(1, min(5, len(self._columns))))
        self._columns = chosen
        self._then(lambda frame: frame.select(chosen))

    def _condition(self) -> pl.Expr:
        draw, made = self._draw, []
        moment = BEGIN + timedelta(seconds=draw.randrange(-50, 500))
        if "time" in self._columns:
            time, later = pl.col("time"), moment + timedelta(seconds=draw.randrange(300))
            made += [
                time >= moment, time < moment, time == moment, moment < time, ~(time > moment), time.is_null(),
                time.is_between(moment, later, closed=draw.choice(["both", "left", "right", "none"])),
                (time > moment) & (time <= later), (time < moment) | (time > later), time != moment,
            ]  # fmt: skip
        made += [pl.col(name) > draw.choice([0, 200, 404, 5000]) for name in self._has(NUMBERS)]
        texts = ["/shop", "web-0", "81.2.69.160", "200", "kube-probe/1.34"]
        made += [pl.col(name) == draw.choice(texts) for name in self._has(TEXTS)]
        made += [pl.col(name).is_not_null() for name in self._has(TEXTS)]
        if not made:
            return pl.lit(draw.random() < 0.5)
        one, other = draw.choice(made), draw.choice(made)
        return draw.choice([one, one, one & other, one | other, ~one])

    def _filter(self) -> None:
        condition = self._condition()
        self._then(lambda frame: frame.filter(condition))

    def _head(self) -> None:
        rows = self._draw.choice([0, 1, 3, 50, 10_000])
        self._then(lambda frame: frame.head(rows))

    def _tail(self) -> None:
        rows = self._draw.choice([0, 1, 40])
        self._then(lambda frame: frame.tail(rows))

    def _slice(self) -> None:
        begin, length = self._draw.choice([0, 2, 100, -30]), self._draw.choice([None, 0, 5, 200])
        self._then(lambda frame: frame.slice(begin, length))

    def _sort(self) -> None:
        by = self._draw.sample(self._columns, min(2, len(self._columns)))
        down = self._draw.random() < 0.5
        self._then(lambda frame: frame.sort(by, descending=down, maintain_order=True))

    def _with_columns(self) -> None:
        made = {name: pl.col(name) + 1 for name in self._has(NUMBERS)}
        made |= {name: pl.col(name) + "!" for name in self._has(TEXTS)}
        if made:
            name = self._draw.choice(list(made))
            new = self._draw.choice([name, f"{name}_more"])
            self._columns = list(dict.fromkeys([*self._columns, new]))
            self._then(lambda frame: frame.with_columns(made[name].alias(new)))

    def _unique(self) -> None:
        by = self._draw.sample(self._columns, min(2, len(self._columns)))
        self._then(lambda frame: frame.unique(by, keep="first", maintain_order=True))

    def _group_by(self) -> None:
        keys, numbers = self._has(KEYS), self._has(NUMBERS)
        if not keys:
            return
        key = self._draw.choice(keys)
        adds = [pl.col(name).sum().alias(f"{name}_sum") for name in numbers if name != key]
        rest = [pl.first(name).alias(f"{name}_first") for name in self._columns if name != key][:2]
        self._columns = [key, "count", *(f"{name}_sum" for name in numbers if name != key)]
        kept = list(self._columns)
        self._then(
            lambda frame: (
                frame.group_by(key, maintain_order=True).agg(pl.len().alias("count"), *adds, *rest).select(kept)
            )
        )

    def _join(self) -> None:
        keys = self._has(("status", "pod", "path", "client_from"))
        if not keys:
            return
        key = self._draw.choice(keys)
        how = self._draw.choice(["semi", "anti", "left", "inner"])
        more = self._condition() if set(KEYS) <= set(self._columns) else pl.col("status") > 300
        self._columns = [*self._columns, *(["others"] if how in {"left", "inner"} else [])]
        if len(set(self._columns)) < len(self._columns):
            self._columns.pop()
            return
        self._steps.append(
            lambda found, frame: found.join(
                frame.filter(more).group_by(key).agg(pl.len().alias("others")),
                on=key,
                how=how,  # type: ignore[arg-type]
                nulls_equal=True,
                maintain_order="left_right",
            )
        )

    def _index(self) -> None:
        if "row" not in self._columns:
            self._columns = ["row", *self._columns]
            self._then(lambda frame: frame.with_row_index("row"))

    def _count(self) -> None:
        if self._draw.random() < 0.3:
            self._columns = ["rows"]
            self._then(lambda frame: frame.select(pl.len().alias("rows")))

    def _reverse(self) -> None:
        self._then(lambda frame: frame.reverse())


@pytest.mark.parametrize("log_format", PLANS)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_queries_find_what_they_find_on_the_collected_frame(
    seed: int, log_format: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Select, filter, head, slice, tail, sort, group_by, join, with_columns, unique: in any order, on many pieces.

    The engines of Polars take turns.
    """
    small_pieces(monkeypatch, 12_000)
    logs = some_logs(tmp_path, seed)[:3]
    lazy = logscan.scan(logs, log_format=log_format, on_unreadable="ignore", workers=seed % 3 + 1)
    frame = lazy.collect()
    assert frame.height > 200
    plans = Plans(seed, frame.columns)
    engines: tuple[EngineType, EngineType] = ("in-memory", "streaming")
    for number in range(PLANS[log_format]):
        query, engine = plans.plan(), engines[number % 2]
        expected = query(frame.lazy()).collect(engine=engine)
        found = query(lazy).collect(engine=engine)
        try:
            assert_frame_equal(found, expected, check_exact=True)
        except AssertionError:
            pytest.fail(f"query {number}, {engine}:\n{query(lazy).explain()}\n{found}\n{expected}")
