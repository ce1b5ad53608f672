"""``python -m MODULE`` with a mini scale of four updates and 24 scenes, and short demo scenes:
python -m tests.short_commands -m MODULE OPTIONS. All else is the command itself.
"""

import runpy
import sys
from functools import partial

from data.mini.ambiguous import ensure_dataset
from experiments.scales import SCALES
from scripts.engine import environment
from tests.short_training import shortened

UPDATES = 4


def main(module: str) -> None:
    """Runs the module as a command, whose options are those of this process."""
    mini = SCALES["mini"]
    SCALES["mini"] = lambda run: shortened(mini(run), UPDATES)
    environment.ensure_dataset = partial(ensure_dataset, train=16, val=8)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    del sys.argv[1]  # the "-m"
    main(sys.argv.pop(1))
