"""Lists what a table needs: python -m scripts.list_runs kl_loss/table6 --scale mini

One line a network, in the order of training: paper/run, the backbone that it has at this scale,
how many images an update learns from, and its round: a network needs those of earlier rounds alone,
the first is 0. With --commands instead the commands of scripts/ that measure and print the table.
"""

import sys
from collections.abc import Sequence

from experiments.scales import at_scale
from scripts.engine.command import command_parser, exit_code
from scripts.engine.places import add_scale_option, find_table
from scripts.engine.table_runs import COMMANDS, training_rounds


def list_runs(table: str, scale: str) -> str:
    """Each network as "paper/run backbone images round", one a line."""
    paper = table.partition("/")[0]
    lines = []
    for number, runs in enumerate(training_rounds(find_table(table), paper, scale)):
        for run in runs:
            scaled = at_scale(run, scale)
            backbone, images = scaled.model.backbone.name, scaled.train.batch_size
            lines.append(f"{paper}/{run.name} {backbone} {images} {number}")
    return "\n".join(lines)


def list_commands(table: str) -> str:
    """The names of the commands, one a line."""
    return "\n".join(COMMANDS[find_table(table).command])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = command_parser("list_runs", __doc__)
    parser.add_argument("table", help="paper/table, for example kl_loss/table1")
    add_scale_option(parser)
    parser.add_argument("--commands", action="store_true", help="list commands instead of runs")
    options = parser.parse_args(arguments)
    if options.commands:
        return exit_code(lambda: print(list_commands(options.table)))
    return exit_code(lambda: print(list_runs(options.table, options.scale)))


if __name__ == "__main__":
    sys.exit(main())
