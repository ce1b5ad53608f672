"""Makes the sigmas of a detector honest: python -m scripts.calibrate CHECKPOINT --data DIR

Compares the sigmas with the errors on labeled images that the network did not learn from, and keeps
in the checkpoint by what they are to be multiplied; scripts.detect, scripts.score and Python's
detector do so from then on. Reports coverage, likelihood and ENCE before and after on other images,
and intervals that hold a side as often as asked for, on average over all classes (conformal
prediction). The weights stay.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from postprocess.recalibration import Aim, By
from scripts.engine.calibration.calibration import CalibrateOptions, calibrate
from scripts.engine.command import command_parser, exit_code
from scripts.engine.environment import add_machine_options
from scripts.engine.files import write_json
from scripts.engine.run_folder.recalibration import report_file
from scripts.engine.score.data import add_labeled_options, labeled_folder_from
from scripts.reports.calibrate import calibration_text


def option_parser() -> argparse.ArgumentParser:
    parser = command_parser("calibrate", __doc__)
    parser.add_argument("checkpoint", type=Path, help="or a run's folder: its best.pt")
    add_labeled_options(
        parser, split="which images to fit on (default: those that the run was validated on)"
    )
    parser.add_argument(
        "--report-split",
        metavar="NAME",
        help="which images to measure on (default: every second one of --split is kept for it)",
    )
    parser.add_argument(
        "--by",
        choices=get_args(By),
        default="one",
        help="one factor, one for each side, or one for each third of the sizes (default: one)",
    )
    parser.add_argument(
        "--aim",
        choices=get_args(Aim),
        default="coverage",
        help="what is made right: how much one and two sigma cover (default), or the likelihood",
    )
    add_machine_options(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="report only; the checkpoint stays as it is"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    given = option_parser().parse_args(arguments)
    options = CalibrateOptions(
        checkpoint=given.checkpoint,
        folder=labeled_folder_from(vars(given)),
        report_split=given.report_split,
        by=given.by,
        aim=given.aim,
        device=given.device,
        workers=given.workers,
        keep=not given.dry_run,
    )
    return exit_code(lambda: calibrate_and_report(options))


def calibrate_and_report(options: CalibrateOptions) -> None:
    """Fits and measures, prints the report, and writes it unless nothing is kept."""
    result = calibrate(options)
    content = {**asdict(result), "checkpoint": str(result.checkpoint)}
    path = report_file(result.checkpoint)
    if (
        options.keep
    ):  # before anything is printed: a closed pipe must not keep it from being written
        write_json(path, content)
    print(calibration_text(content))
    if options.keep:
        print(f"\nkept in {result.checkpoint}; {path}")


if __name__ == "__main__":
    sys.exit(main())
