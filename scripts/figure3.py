"""KL-RPN Figure 3, offsets of good and bad proposals: python -m scripts.figure3 kl_rpn/figure3 --scale mini --seeds 3

The first 100 test images, the proposals that the second stage gets. Writes into the table's results folder <scale>.png
(seed 0) and, as numbers over all seeds, <scale>.md, .csv and .json.
"""

import argparse
import sys

from data.records import Dataset, Target
from data.scoring.offset_distribution import offset_distribution, separation
from scripts.engine.command import exit_code
from scripts.proposals import (
    arguments,
    first_stages,
    report_place,
    scaled_runs,
    seed_record,
    table_of,
)
from scripts.reports.figure3 import write_figure3
from scripts.reports.results import Results

IMAGES = 100  # as in the paper


def evaluate(args: argparse.Namespace) -> str:
    """Measures both networks with every seed, draws seed 0, writes the results and returns the markdown text."""
    table = table_of(args, "figure3")
    datasets: dict[tuple[str, str], tuple[Dataset, list[Target]]] = {}
    runs, seeds, drawn = scaled_runs(table, args), [], {}
    for seed in range(args.seeds):
        facts = {}
        for stage in first_stages(table, args, seed, datasets, images=IMAGES):
            facts[stage.run.name] = stage.facts
            if stage.proposals is not None:
                high, low = offset_distribution(stage.proposals, stage.targets)
                facts[stage.run.name] = {**stage.facts, "metrics": {"n": len(high), **separation(high, low)}}
                drawn[stage.run.name, seed] = high, low
        seeds.append(seed_record(table, args, seed, facts))
    labels = {row.label: runs[row.run.name].name for row in table.rows}
    offsets = {label: drawn.get((run, 0)) for label, run in labels.items()}
    return write_figure3(Results(table, seeds), report_place(args), offsets)


def main() -> int:
    args = arguments(__doc__, "kl_rpn/figure3")
    return exit_code(lambda: print(evaluate(args)))


if __name__ == "__main__":
    sys.exit(main())
