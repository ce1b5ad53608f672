"""The results that a page shows: every readable JSON file, and a sentence for each other one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.scales import SCALES, scale_and_length
from scripts.engine.files import read_json
from scripts.engine.places import EXPERIMENTS, find_table, table_names
from scripts.reports.results import Results
from scripts.reports.same_evaluation import measured_lines

ROOT = EXPERIMENTS.parent
SWAP, OPERATIONS = "_swap", "_operations"  # how the names of the two other kinds of files end
Key = tuple[str, str]  # table, scale


@dataclass(frozen=True, kw_only=True)
class Source:
    """One JSON file: the seeds of a table at a scale, or what was measured beside them."""

    table: str
    scale: str
    path: Path
    seeds: Sequence[dict[str, Any]]

    @property
    def name(self) -> str:
        """The file as the page names it: below the repository, or as it was given."""
        return shown_path(self.path)

    def beside(self, suffix: str) -> Path:
        """A file of the same report, such as its picture ".png"."""
        return self.path.with_name(f"{self.path.stem}{suffix}")


@dataclass(frozen=True, kw_only=True)
class Sources:
    """All that was read.

    tables, swaps, operations: by table and scale. damaged: a sentence for each file that could not
    be used.
    """

    tables: dict[Key, Source] = field(default_factory=dict)
    swaps: dict[Key, Source] = field(default_factory=dict)
    operations: dict[Key, Source] = field(default_factory=dict)
    damaged: Sequence[str] = ()

    def results(self, table: str, scale: str) -> Results:
        """The results of a table at a scale, of no seed where it was not run."""
        source = self.tables.get((table, scale))
        if source is None:
            return Results(find_table(table), [])
        return Results(find_table(table), source.seeds, source.name)

    def scales_of(self, table: str) -> list[str]:
        """The scales at which a table was run: as in SCALES, then longer ones."""
        known = [scale for name, scale in self.tables if name == table]
        return sorted(known, key=lambda scale: order(scale))


def order(scale: str) -> tuple[int, int]:
    """Where a scale stands in a list."""
    base, length = scale_and_length(scale)
    return length, list(SCALES).index(base)


def shown_path(path: Path) -> str:
    """A path below the repository, or as it was given."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def committed_files(experiments: Path = EXPERIMENTS) -> list[Path]:
    """The JSON files of all results folders."""
    return sorted(experiments.glob("*/*/results/*.json"))


def reported_files(folder: Path) -> list[Path]:
    """The JSON files of reports below a folder of runs, or of a folder given as RESULTS.

    Raises:
        ValueError: there are none.
    """
    found = sorted(folder.glob("*/*/*/report/*.json")) + sorted(folder.glob("*.json"))
    if not found:
        raise ValueError(
            f"{folder} holds no reports: neither SCALE/PAPER/TABLE/report/*.json, as "
            "`make reproduce-table1` writes them, nor *.json; give the folder of runs."
        )
    return found


def read_sources(files: Iterable[Path]) -> Sources:
    """Everything that can be read; a later file takes the place of an earlier one of the same
    table and scale, unless nothing of it was run.
    """
    kinds: dict[str, dict[Key, Source]] = {"": {}, SWAP: {}, OPERATIONS: {}}
    damaged = []
    for path in files:
        kind = next((end for end in (SWAP, OPERATIONS) if path.stem.endswith(end)), "")
        try:
            source = read_source(path, kind)
        except ValueError as error:
            damaged.append(str(error).replace(str(path), shown_path(path)))
            continue
        key = source.table, source.scale
        if kind or key not in kinds[kind] or any(map(measured_lines, source.seeds)):
            kinds[kind][key] = source
    return Sources(
        tables=kinds[""], swaps=kinds[SWAP], operations=kinds[OPERATIONS], damaged=damaged
    )


REMEDY = "restore it, or measure that table again"


def read_source(path: Path, kind: str) -> Source:
    """One file.

    Args:
        path: the file.
        kind: "", SWAP or OPERATIONS.

    Raises:
        ValueError: it is damaged, or of no known table and scale.
    """
    keys = ["table", "scale", {"": "rows", SWAP: "recall", OPERATIONS: "operations"}[kind]]
    if kind == OPERATIONS:
        seeds = [read_json(path, REMEDY, keys=keys)]
    else:
        seeds = read_json(path, REMEDY, kind=list, keys=[*keys, "seed"])
    if not seeds:
        raise ValueError(f"The file {path} holds no seed; {REMEDY}.")
    table, scale = seeds[0]["table"], seeds[0]["scale"]
    if table not in table_names():
        raise ValueError(f"The file {path} is of the table {table!r}, which is unknown; {REMEDY}.")
    check_scale(path, scale)
    for seed in seeds:
        check_seed(path, seed, kind)
    return Source(table=table, scale=scale, path=path, seeds=seeds)


def check_scale(path: Path, scale: Any) -> None:
    """Raises a ValueError that names the file unless ``scale`` is one."""
    try:
        scale_and_length(str(scale))
    except ValueError as error:
        raise ValueError(f"The file {path} cannot be used: {error}") from error


def check_seed(path: Path, seed: dict[str, Any], kind: str) -> None:
    """Checks that the numbers of a seed are numbers.

    Raises:
        ValueError: a row lacks its name or its numbers, or holds something else.
    """
    if "own_splits" in seed:
        raise ValueError(
            f"The file {path} was measured on {seed['own_splits']}, which is no split of COCO or "
            "VOC; it has no place beside the papers' numbers."
        )
    if kind:
        if not isinstance(seed["recall" if kind == SWAP else "operations"], dict | list):
            raise ValueError(f"The file {path} holds something else than numbers; {REMEDY}.")
        return
    for line in seed["rows"] if isinstance(seed["rows"], list) else [None]:
        if not isinstance(line, dict) or not {"label", "metrics", "run"} <= line.keys():
            raise ValueError(f"The file {path} has a row without a name or numbers; {REMEDY}.")
        if not are_numbers(line["metrics"] or {}):
            raise ValueError(
                f"The file {path} has something else than numbers in the row {line['label']!r}; "
                f"{REMEDY}."
            )


def are_numbers(value: Any) -> bool:
    """Whether a value is a number, null, or a dictionary of such."""
    if isinstance(value, dict):
        return all(map(are_numbers, value.values()))
    return value is None or isinstance(value, int | float)
