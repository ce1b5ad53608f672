"""Scores a detector on labeled images: python -m scripts.score CHECKPOINT_OR_RESULTS --data DIR

CHECKPOINT_OR_RESULTS is a step-*.pt of scripts.train, the folder of a run (its best.pt, else its
newest checkpoint), or anybody's detections in COCO's result format (.json). Writes scores,
precision-recall curves, calibration, confusion matrix and TIDE's errors as JSON, CSV and PNG, a
page of errors (what voting changed, the best and the worst images), and the detections of a
checkpoint as COCO results; docs/scoring.md lists the files.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.engine.command import command_parser, exit_code
from scripts.engine.detection.detection import add_postprocess_options
from scripts.engine.environment import add_machine_options
from scripts.engine.numbers import share
from scripts.engine.score.data import add_labeled_options, labeled_folder_from
from scripts.engine.score.score import ScoreOptions, ScoreResult, score_detections
from scripts.engine.score.source import NetworkOptions
from scripts.reports.score import ScoreReport, write_score
from scripts.reports.score_errors import ErrorReport, ImageErrors


def option_parser() -> argparse.ArgumentParser:
    parser = command_parser("score", __doc__)
    parser.add_argument("scored", type=Path, metavar="CHECKPOINT_OR_RESULTS")
    add_labeled_options(
        parser, split="which images (default: the run's test split, else validation, else test)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=None,
        metavar="DIR",
        help="where the files go (default: score-SPLIT beside the checkpoint or the results)",
    )
    parser.add_argument("--voc", action="store_true", help="also VOC's mAP")
    parser.add_argument(
        "--confusion-score",
        type=share,
        default=0.5,
        help="least score of a detection in the confusion matrix (default: %(default)s)",
    )
    network = parser.add_argument_group("of a checkpoint")
    add_machine_options(network)
    network.add_argument(
        "--score", type=share, default=None, help="least score of a box (default: 0.05)"
    )
    add_postprocess_options(network)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    given = option_parser().parse_args(arguments)
    options = ScoreOptions(
        scored=given.scored,
        folder=labeled_folder_from(vars(given)),
        network=NetworkOptions(
            device=given.device,
            workers=given.workers,
            least_score=given.score,
            nms_iou=given.nms_iou,
            sigma_t=given.sigma_t,
            suppression=given.suppression,
        ),
        out=given.out,
        confusion_score=given.confusion_score,
        voc=given.voc,
    )
    return exit_code(lambda: score_and_report(options))


def score_and_report(options: ScoreOptions) -> None:
    """Scores, writes the report, and prints its summary."""
    result = score_detections(options)
    report = ScoreReport(
        facts=result.facts,
        notes=result.notes,
        scores=result.scores,
        voc=result.voc,
        analysis=result.analysis,
        localization=result.localization,
        errors=error_report(result),
    )
    print(write_score(report, result.out))


def error_report(result: ScoreResult) -> ErrorReport:
    """What is reported of the errors."""
    errors = result.errors
    best, worst = (
        [ImageErrors(index=i.index, pictures=i.pictures, unreadable=i.unreadable) for i in images]
        for images in (errors.best, errors.worst)
    )
    return ErrorReport(
        names=errors.names,
        qualities=errors.qualities,
        tide=result.analysis.tide,
        voting=errors.voting,
        best=best,
        worst=worst,
        least_score=errors.least_score,
    )


if __name__ == "__main__":
    sys.exit(main())
