"""What a table needs: its runs in an order in which they can be trained, and its commands."""

from collections.abc import Mapping

from experiments.records import Run, Table
from experiments.scales import at_scale
from scripts.engine.places import runs_of

# Table.command -> the commands that measure and print the table, in order
COMMANDS = {
    "evaluate": ("evaluate", "report"),
    "evaluate_length": ("evaluate", "report", "length"),
    "benchmark": ("benchmark", "report"),
    "recall": ("recall",),
    "first_stage": ("first_stage",),
    "first_stage_length": ("first_stage", "length"),
    "figure3": ("figure3", "swap"),
    "figure5": ("figure5",),
    "figure6": ("evaluate", "report", "figure6"),
}


def training_order(table: Table, paper: str, scale: str) -> list[Run]:
    """The runs of a table, each after the runs that it needs (``Run.start``, ``Run.proposals``).

    Args:
        paper: whose runs.py names the runs that others start from.
        scale: runs that become one network at this scale are listed once.

    Returns:
        The runs at full size, as ``scripts.train`` names them; none for a table of latencies,
        which are measured on random weights.
    """
    if table.command == "benchmark":
        return []
    order: dict[str, Run] = {}  # by the name at this scale
    for row in table.rows:
        add_after_needed(row.run, runs_of(paper), scale, order)
    return list(order.values())


def add_after_needed(run: Run, runs: Mapping[str, Run], scale: str, order: dict[str, Run]) -> None:
    """Appends a run to ``order``, before it the runs that it needs."""
    scaled = at_scale(run, scale)
    if scaled.name in order:
        return
    for needed in (scaled.proposals, scaled.start):
        if needed in runs:
            add_after_needed(runs[needed], runs, scale, order)
    order[scaled.name] = run
