"""Milliseconds of one device only: those of two have no mean and no difference."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from scripts.reports.same_evaluation import Line, Seed, numbered

Numbers = dict[str, Any]


def times_of_one_device(seeds: Sequence[Seed]) -> tuple[list[Seed], list[str]]:
    """The seeds without the milliseconds of other devices than the one that measured most of them
    (of as many the first one's), and a sentence for each of the others.

    Args:
        seeds: of one table at one scale. A row may have a device of its own (``merged``).
    """
    timed = Counter(device_of(line, seed) for seed, line in numbered(seeds) if has_times(line))
    if len(timed) < 2:
        return list(seeds), []
    kept = timed.most_common(1)[0][0]
    notes = [
        f"note: the milliseconds of {rows} rows are left out, because they were measured on "
        f"{device} and most others on {kept}; measure all rows on one device"
        for device, rows in timed.most_common()[1:]
    ]
    return [of_device(seed, kept) for seed in seeds], notes


def timing_devices(seeds: Sequence[Seed]) -> list[str]:
    """The devices that measured the milliseconds of the seeds, sorted."""
    return sorted({device_of(line, seed) for seed, line in numbered(seeds) if has_times(line)})


def of_device(seed: Seed, kept: str) -> Seed:
    """The seed, its rows of other devices than ``kept`` without milliseconds."""
    lines = [
        line
        if device_of(line, seed) == kept or not line.get("metrics")
        else {**line, "metrics": without_times(line["metrics"])}
        for line in seed.get("rows", ())
    ]
    return {**seed, "rows": lines}


def device_of(line: Line, seed: Seed) -> str:
    """Where a row was measured: apart from its seed's other rows, or with them."""
    return str(line.get("device", seed.get("device", "not recorded")))


def has_times(line: Line) -> bool:
    """Whether a row has milliseconds."""
    return without_times(line["metrics"]) != line["metrics"]


def without_times(metrics: Numbers) -> Numbers:
    """The numbers that are no milliseconds, in all parts."""
    return {
        name: without_times(value) if isinstance(value, dict) else value
        for name, value in metrics.items()
        if not name.endswith("_ms")
    }
