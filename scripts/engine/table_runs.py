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
    """The runs of a table, each after the runs that it needs (``training_rounds``)."""
    return [run for round_ in training_rounds(table, paper, scale) for run in round_]


def training_rounds(table: Table, paper: str, scale: str) -> list[list[Run]]:
    """The runs of a table in rounds: a run needs runs of earlier rounds alone (``Run.start``,
    ``Run.proposals``), so those of one round can be trained side by side.

    Args:
        paper: whose runs.py names the runs that others start from.
        scale: runs that become one network at this scale are listed once.

    Returns:
        The runs at full size, as ``scripts.train`` names them; none for a table of latencies,
        which are measured on random weights.
    """
    if table.command == "benchmark":
        return []
    rounds: list[list[Run]] = []
    round_of: dict[str, int] = {}  # by the name at this scale
    for row in table.rows:
        add_to_rounds(row.run, runs_of(paper), scale, rounds, round_of)
    return rounds


def add_to_rounds(
    run: Run,
    runs: Mapping[str, Run],
    scale: str,
    rounds: list[list[Run]],
    round_of: dict[str, int],
) -> int:
    """Adds a run, and the runs that it needs, to ``rounds`` and ``round_of``.

    Returns:
        the round of the run: the first is 0.
    """
    scaled = at_scale(run, scale)
    if scaled.name not in round_of:
        needed = [
            add_to_rounds(runs[name], runs, scale, rounds, round_of)
            for name in (scaled.proposals, scaled.start)
            if name in runs
        ]
        number = 1 + max(needed, default=-1)
        rounds.extend([] for _ in range(number + 1 - len(rounds)))
        rounds[number].append(run)
        round_of[scaled.name] = number
    return round_of[scaled.name]
