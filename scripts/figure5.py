"""KL Loss Figure 5, boxes before and after var voting:
    python -m scripts.figure5 kl_loss/figure5 --seeds 3

Writes beside the table's report, over all seeds, <scale>.md, .csv and .json: what voting does to
the boxes of recognized objects. Of the first seed it draws the images where it does most, for
better and for worse: <scale>.png; pictures that show photos stay below --out.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from experiments.records import Row, Table
from scripts.engine.command import add_seeds_option, command_parser, exit_code
from scripts.engine.environment import Environment, add_environment_options, environment_from
from scripts.engine.evaluation.figure5 import VotingMoves, measure_voting
from scripts.engine.places import find_table_of
from scripts.reports.figure5 import draw_picture, write_figure5
from scripts.reports.figure5_scenes import scenes
from scripts.reports.files import ReportPlace, add_report_options, report_place_from
from scripts.reports.results import Results


def option_parser() -> argparse.ArgumentParser:
    parser = command_parser("figure5", __doc__)
    parser.add_argument("table", help="paper/table, for example kl_loss/figure5")
    add_environment_options(parser, unfinished=True)
    add_seeds_option(parser)
    add_report_options(parser)
    return parser


def report_voting(table: Table, report: ReportPlace, environment: Environment, seeds: int) -> str:
    """Measures every seed, draws the first that is trained, and writes the report."""
    place = environment.table_place(report.table)
    results: list[dict[str, Any]] = []
    drawn = False
    for measured in measure_voting(table, place, environment, seeds):
        picture = {}
        if measured.voting is not None and not drawn:
            after = table.rows[1]
            picture = {"picture": draw(report, after, measured.seed, measured.voting)}
            drawn = True
        results.append({**measured.results, **picture})
    shown = report.with_committed(results)
    if drawn:  # the picture of an earlier report is no longer there
        shown = [seed if seed in results else without_picture(seed) for seed in shown]
    return write_figure5(Results(table, shown), report)


def without_picture(seed: dict[str, Any]) -> dict[str, Any]:
    """The results of a seed of which no picture is shown."""
    return {name: value for name, value in seed.items() if name != "picture"}


def draw(report: ReportPlace, after: Row, seed: int, voting: VotingMoves) -> dict[str, Any]:
    """Draws the boxes that move most; returns what the results keep of the picture."""
    moves = voting.moves
    panels = scenes(voting.dataset, voting.candidates, voting.before, moves, after.postprocess)
    truth = "clean box" if moves.clean is not None else "label"
    return draw_picture(report, after, seed, panels, truth)


def main(arguments: Sequence[str] | None = None) -> int:
    given = vars(option_parser().parse_args(arguments))
    report, environment = report_place_from(given), environment_from(given)

    def work() -> None:
        table = find_table_of(report.table, "figure5")
        print(report_voting(table, report, environment, given["seeds"]))

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
