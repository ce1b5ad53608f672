"""The numbers of a table over its seeds, and how they become text, markdown and CSV."""

import csv
import io
import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.records import Row, Table
from scripts.engine.files import read_json


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number of a row over seeds.

    Args:
        mean: over the seeds that have the number; None if none has it.
        spread: sample standard deviation over these seeds; None for fewer than two.
        seeds: how many seeds have the number.
        constant: a count in millions, the same with every seed: two digits, no spread.
        origin: where it can be looked up, as a formula of references (``Results.reference``); ""
            where nobody asks.
        absent: what to say where there is no mean, beside "not run".
    """

    mean: float | None
    spread: float | None
    seeds: int = 0
    constant: bool = False
    origin: str = field(default="", compare=False)
    absent: str = field(default="not run", compare=False)

    @property
    def decimals(self) -> int:
        return 2 if self.constant or self.mean is None else digits(self.mean)

    def __str__(self) -> str:
        if self.mean is None:
            return "not run"
        text = f"{self.mean:.{self.decimals}f}"
        if self.spread is None or self.constant:
            return text
        return f"{text} ± {self.spread:.{self.decimals}f}"


def digits(value: float) -> int:
    """Decimals of a printed number: one from 10 on, two below."""
    return 1 if abs(value) >= 10 else 2


def cell(
    values: Sequence[float | None],
    *,
    constant: bool = False,
    origin: str = "",
    absent: str = "not run",
) -> Cell:
    """Mean and sample standard deviation of one value a seed; None and NaN count as absent."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return Cell(mean=None, spread=None, origin=origin, absent=absent)
    return Cell(
        mean=statistics.mean(known),
        spread=statistics.stdev(known) if len(known) > 1 else None,
        seeds=len(known),
        constant=constant,
        origin=origin,
    )


def differences(values: Sequence[float | None], base: Sequence[float | None]) -> list[float | None]:
    """``values`` minus ``base`` within each seed, None where one of the two is absent."""
    return [None if a is None or b is None else a - b for a, b in zip(values, base, strict=True)]


def signed(step: Cell) -> str:
    """A difference with its sign, "-" where one side was not run."""
    if step.mean is None:
        return "-"
    return f"+{step}" if step.mean >= 0 else str(step)


def number(line: dict[str, Any], column: str, part: str | None) -> float | None:
    """A row's ``column``, from its ``part`` ("clean") if given."""
    metrics = line["metrics"]
    if metrics is None:
        return None
    return (metrics if part is None else metrics.get(part, {})).get(column)


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a table compares: row ``better`` minus row ``base`` of one group, by their positions."""

    group: str
    label: str
    better: int
    base: int

    @property
    def name(self) -> str:
        return f"{self.group}: {self.label}" if self.group else self.label


class Results:
    """The seeds of one table at one scale.

    Args:
        table: its declaration.
        seeds: one record a seed.
        source: the JSON file that they are from, for ``reference``; "" where nobody asks.
    """

    def __init__(self, table: Table, seeds: Sequence[dict[str, Any]], source: str = "") -> None:
        self.table, self.seeds, self.source = table, seeds, source
        self.rows: tuple[Row, ...] = table.rows

    def reference(self, row: int, column: str, part: str | None = None) -> str:
        """Where ``values`` are: "{FILE#rows[ROW]/metrics/PART/COLUMN}"."""
        place = f"{part}/{column}" if part else column
        return f"{{{self.source}#rows[{self.rows[row].name}]/metrics/{place}}}"

    def paper(self, row: int, column: str) -> Cell:
        """What the paper prints in a row and column."""
        name = self.seeds[0].get("table", "") if self.seeds else ""
        return Cell(
            mean=self.table.printed(self.rows[row]).get(column),
            spread=None,
            origin=f"{{experiments/{name}/rows.py#rows[{self.rows[row].name}]/printed/{column}}}",
            absent="not printed",
        )

    def ran(self, row: int) -> bool:
        """Whether some seed has numbers of a row."""
        key = (self.rows[row].group, self.rows[row].label)
        lines = itertools.chain.from_iterable(seed["rows"] for seed in self.seeds)
        return any((line.get("group", ""), line["label"]) == key and line["metrics"]
                   for line in lines)  # fmt: skip

    def values(self, row: int, column: str, part: str | None = None) -> list[float | None]:
        """One value a seed, None where it has no such row.

        Rows are matched by name: a file of an earlier version may hold others.
        """
        name = (self.rows[row].group, self.rows[row].label)
        values = []
        for seed in self.seeds:
            lines = {(line.get("group", ""), line["label"]): line for line in seed["rows"]}
            values.append(number(lines[name], column, part) if name in lines else None)
        return values

    def cell(self, row: int, column: str, part: str | None = None) -> Cell:
        """Mean and spread of a row's ``column`` over the seeds."""
        return cell(
            self.values(row, column, part),
            constant=column == "params_M",
            origin=self.reference(row, column, part),
            absent="not measured" if self.ran(row) else "not run",
        )

    def has(self, part: str) -> bool:
        """Whether any row was scored against ``part`` as well."""
        lines = itertools.chain.from_iterable(seed["rows"] for seed in self.seeds)
        return any((line["metrics"] or {}).get(part) for line in lines)

    def steps(self) -> list[Step]:
        """The table's comparisons, group by group, where both rows are there."""
        steps = []
        for group in dict.fromkeys(row.group for row in self.rows):
            places = {row.label: i for i, row in enumerate(self.rows) if row.group == group}
            steps += [
                Step(group=group, label=f"{better} - {base}",
                     better=places[better], base=places[base])
                for better, base in self.table.comparisons
                if places.keys() >= {better, base}
            ]  # fmt: skip
        return steps

    def comparison(self, better: int, base: int, column: str, part: str | None = None) -> Cell:
        """``better`` minus ``base`` within each seed: the spread of a difference is not that of
        its two parts."""
        rows = (better, base)
        return cell(
            differences(*(self.values(row, column, part) for row in rows)),
            origin=" - ".join(self.reference(row, column, part) for row in rows),
            absent="not measured" if all(map(self.ran, rows)) else "not run",
        )


def stored_seeds(folder: Path) -> list[dict[str, Any]]:
    """The seeds of a table that were evaluated into ``folder``, in order, maybe none.

    Raises:
        ValueError: if they are of someone's own data, which a paper's numbers have nothing to do
            with.
    """
    remedy = "delete it, or evaluate that seed again"
    paths = sorted(folder.glob("seed*.json"), key=lambda path: (len(path.name), path.name))
    seeds = [read_json(path, remedy, keys=("rows",)) for path in paths]
    for seed in seeds:
        if "own_splits" in seed:
            raise ValueError(
                f"{folder} was evaluated on {seed['own_splits']}, which is no split of COCO or VOC,"
                " and a report stands beside the paper's numbers on those; score data of your own "
                "with `python -m scripts.score CHECKPOINT --data DIR`."
            )
    return seeds


def counted(seeds: Sequence[Any]) -> str:
    """ "1 seed", "3 seeds"."""
    return f"{len(seeds)} seed{'' if len(seeds) == 1 else 's'}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An aligned markdown table."""
    widths = [max(len(line[i]) for line in [header, *rows]) for i in range(len(header))]
    lines = []
    for line in [header, ["-" * width for width in widths], *rows]:
        texts = [text.ljust(width) for text, width in zip(line, widths, strict=True)]
        lines.append(f"| {' | '.join(texts)} |")
    return "\n".join(lines)


def csv_text(lines: Sequence[Sequence[Any]]) -> str:
    """A CSV file, its header first."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(lines)
    return file.getvalue()


def csv_numbers(shown: Cell, absent: str | None = "not run") -> list[Any]:
    """A cell's columns of a CSV file: value, spread, seeds; ``absent`` where there is no value."""
    return [absent if shown.mean is None else round(shown.mean, 4), csv_spread(shown), shown.seeds]


def csv_spread(shown: Cell) -> float | None:
    """A cell's spread as a CSV file has it."""
    return None if shown.spread is None else round(shown.spread, 4)
